"""Notices by e-mail to a real SMTP server: plain words, stable ids, encryption, and names that try to add headers."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from core.notices.deliver import Parcel
from tests.fakes.post_office import PostOffice
from tests.worker.notices.test_webhook import certificate
from worker.notices.mail import send_mail

FROM = "billing@guild.example"
DATA = {"invoice": "GLD-000007", "document": "invoice", "licensor": "guild", "licensor_name": "Zunft & Söhne",
        "licensee": "north", "licensee_name": "North", "agreement": "deal", "period": "2026-10", "currency": "USD",
        "total": "18504.00", "issued_at": None, "due_on": "2026-12-01"}  # fmt: skip


def parcel(**more: Any) -> Parcel:
    told_at = datetime(2026, 11, 2, 9, tzinfo=UTC)
    said = {"delivery_id": 4, "attempt": 1, "message_id": "msg_7", "kind": "invoice.issued", "told_at": told_at,
            "data": DATA, "licensor": "Zunft & Söhne", "address": "ap@north.example"}  # fmt: skip
    return Parcel(**{**said, **more})


def read(office: PostOffice, n: int = -1) -> EmailMessage:
    return message_from_bytes(bytes(office.letters[n].content or b""), policy=default)  # type: ignore[return-value]


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with PostOffice() as running:
        yield running


def plain(office: PostOffice) -> str:
    return f"smtp+plain://127.0.0.1:{office.port}"


def test_a_letter_says_in_plain_words_what_happened(office: PostOffice) -> None:
    assert send_mail(parcel(), plain(office), FROM).result == "delivered"
    letter = read(office)
    assert letter["subject"] == "Invoice GLD-000007 from Zunft & Söhne: 18,504.00 USD"
    [sender] = letter["from"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Zunft & Söhne", FROM)
    assert (letter["to"], office.letters[0].rcpt_tos) == ("ap@north.example", ["ap@north.example"])
    assert letter["auto-submitted"] == "auto-generated"
    assert letter.get_content_type() == "text/plain"
    assert " ".join(letter.get_content().split()) == (
        "Zunft & Söhne has issued invoice GLD-000007 to North for October 2026, agreement deal: 18,504.00 USD. "
        "It is due on December 1, 2026."
    )


def test_a_letter_is_in_the_language_and_the_numbers_of_its_account(office: PostOffice) -> None:
    assert send_mail(replace(parcel(), language="de", locale="de-CH"), plain(office), FROM).result == "delivered"
    assert read(office)["subject"] == "Rechnung GLD-000007 von Zunft & Söhne: 18’504.00 USD"
    assert "Sie ist am 1. Dezember 2026 fällig." in " ".join(read(office).get_content().split())


def test_a_repeat_has_the_same_message_id_and_another_delivery_another(office: PostOffice) -> None:
    for each in (parcel(), parcel(attempt=2), parcel(delivery_id=5)):
        send_mail(each, plain(office), FROM)
    ids = [read(office, n)["message-id"] for n in range(3)]
    assert ids[0] == ids[1] == "<msg_7.4@guild.example>"
    assert ids[2] != ids[0]


@pytest.mark.parametrize(
    "address",
    ["ap@north.example\r\nBcc: everybody@example.com", "ap@north.example, b@example.com", "<ap@north.example>", "ap",
     "", "Ap <ap@north.example>", "ap@north.example\n", "a b@north.example", "ap@", "ap@nörd.example"],
)  # fmt: skip
def test_what_is_not_one_address_is_refused_for_good(office: PostOffice, address: str) -> None:
    assert send_mail(parcel(address=address), plain(office), FROM).result == "refused"
    assert office.letters == []


def test_a_name_adds_no_header(office: PostOffice) -> None:
    evil = "Guild\r\nBcc: everybody@example.com\r\n\r\nHello"
    said = {**DATA, "licensor_name": evil, "invoice": evil, "licensee_name": evil}
    assert send_mail(parcel(licensor=evil, data=said), plain(office), FROM).result == "delivered"
    letter = read(office)
    assert letter["bcc"] is None
    assert office.letters[0].rcpt_tos == ["ap@north.example"]
    assert sorted(name.lower() for name in letter) == sorted(
        ["from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version", "content-type",
         "content-transfer-encoding"]
    )  # fmt: skip


def test_a_recipient_refused_for_good_and_one_refused_for_now(office: PostOffice) -> None:
    office.answers = ["550 no such user", "451 try later", "250 OK"]
    outcomes = [send_mail(parcel(), plain(office), FROM) for _ in range(3)]
    assert [(each.result, each.status) for each in outcomes] == [("refused", 550), ("failed", 451), ("delivered", 250)]


def test_a_server_without_encryption_gets_nothing(office: PostOffice) -> None:
    assert send_mail(parcel(), f"smtp://127.0.0.1:{office.port}", FROM).result == "failed"
    assert office.letters == []


def test_encryption_begins_before_anything_is_said_and_the_certificate_must_hold(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "localhost")
    with PostOffice(server) as office:
        assert send_mail(parcel(), f"smtp://localhost:{office.port}", FROM, tls=client).result == "delivered"
        assert send_mail(parcel(), f"smtp://localhost:{office.port}", FROM).result == "failed"
        assert len(office.letters) == 1


@pytest.mark.parametrize("smtp_url", ["", "http://127.0.0.1", "smtp://", "smtp://127.0.0.1:1", "smtp://x:99999"])
def test_a_server_that_is_not_there_is_tried_again(smtp_url: str) -> None:
    assert send_mail(parcel(), smtp_url, FROM).result == "failed"
