"""Webhooks on a real wire: signatures, faults, and addresses that must not be reached."""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.notices.deliver import Outcome, Parcel
from core.notices.endpoints import new_secret
from tests.fakes.receiver import Receiver
from worker.notices.webhook import body_of, send_webhook

SECRET = new_secret()
PUBLIC = "93.184.215.14"


def parcel(url: str, **more: Any) -> Parcel:
    said = {
        "kind": "invoice.issued",
        "told_at": datetime(2026, 11, 2, 9, tzinfo=UTC),
        "data": {"total": "12.50", "to": "Zoë"},
    }
    return Parcel(**{"delivery_id": 1, "attempt": 1, "message_id": "msg_1", "licensor": "Guild", "url": url,
                     "secret": SECRET, **said, **more})  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(SECRET) as running:
        yield running


def send(receiver: Receiver, **more: Any) -> Outcome:
    return send_webhook(parcel(receiver.url), allow_private=True, **more)


def test_a_receiver_verifies_the_signature_with_the_published_package(receiver: Receiver) -> None:
    assert send(receiver).result == "delivered"
    [got] = receiver.got
    assert got.verified
    assert json.loads(got.body) == {
        "type": "invoice.issued",
        "timestamp": "2026-11-02T09:00:00+00:00",
        "data": {"total": "12.50", "to": "Zoë"},
    }
    receiver.secret = new_secret()
    send(receiver)
    assert not receiver.got[-1].verified


def test_while_a_secret_is_changed_a_receiver_with_either_verifies(receiver: Receiver) -> None:
    new = new_secret()
    for known in (SECRET, new):
        receiver.secret = known
        send_webhook(parcel(receiver.url, secret=new, former_secret=SECRET), allow_private=True)
        assert receiver.got[-1].verified
    send_webhook(parcel(receiver.url, secret=SECRET), allow_private=True)
    assert not receiver.got[-1].verified


def test_every_attempt_has_the_same_id_and_the_same_bytes(receiver: Receiver) -> None:
    receiver.answers = [500, 200]
    assert [send(receiver).result, send(receiver).result] == ["failed", "delivered"]
    assert receiver.ids == ["msg_1", "msg_1"]
    assert receiver.got[0].body == receiver.got[1].body == body_of(parcel("")).encode()
    assert all(each.verified for each in receiver.got)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (400, "failed"),
        (404, "failed"),
        (410, "gone"),
        (429, "failed"),
        (503, "failed"),
    ],
)
def test_what_an_answer_means(receiver: Receiver, status: int, result: str) -> None:
    receiver.answers, receiver.text = [status], b"" if status == 204 else b"said"
    outcome = send(receiver)
    assert (outcome.result, outcome.status) == (result, status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    with Receiver(SECRET) as elsewhere:
        receiver.answers, receiver.headers = [status], {"Location": elsewhere.url}
        outcome = send(receiver)
        assert (outcome.result, outcome.status, elsewhere.got) == ("failed", status, [])


@pytest.mark.parametrize("answer", ["silence", "drip"])
def test_who_is_slow_is_left_at_the_deadline(receiver: Receiver, answer: str) -> None:
    receiver.answers = [answer]
    began = time.monotonic()
    outcome = send(receiver, patience=0.4)
    assert (outcome.result, outcome.status) == ("failed", None)
    assert "0.4 seconds" in outcome.said
    assert time.monotonic() - began < 1.5


def test_an_answer_without_end_is_read_at_its_beginning_only(receiver: Receiver) -> None:
    receiver.answers = ["endless"]
    outcome = send(receiver)
    assert outcome.result == "delivered"
    assert len(outcome.said) == 500
    time.sleep(0.1)
    written = receiver.written
    time.sleep(0.1)
    assert receiver.written == written < 20_000_000


def test_nobody_listens(receiver: Receiver) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        outcome = send_webhook(parcel(f"http://127.0.0.1:{free.getsockname()[1]}/"), allow_private=True)
    assert (outcome.result, outcome.status) == ("failed", None)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.1", "169.254.169.254", "10.0.0.1", "2130706433",
     "0x7f.1", "017700000001", "[64:ff9b::7f00:1]"],
)  # fmt: skip
def test_nothing_inside_is_reached_however_it_is_written(receiver: Receiver, host: str) -> None:
    outcome = send_webhook(parcel(f"https://{host}:{receiver.port}/"), patience=1)
    assert outcome.result == "failed"
    assert "not public" in outcome.said or "no address" in outcome.said
    assert receiver.got == []


def test_plain_http_is_refused(receiver: Receiver) -> None:
    outcome = send_webhook(parcel(receiver.url), resolve=lambda *_: [PUBLIC])
    assert (outcome.result, outcome.said) == ("failed", "webhooks go to https addresses only")


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    outcome = send_webhook(parcel("https://hooks.example/"), resolve=lambda *_: [PUBLIC, "10.0.0.7"], patience=1)
    assert outcome.said == "the host has an address that is not public: 10.0.0.7"


class Rebinding:
    """A resolver that answers with something public first, and with this machine ever after."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, *_: Any, **__: Any) -> list[str]:
        self.asked += 1
        return [PUBLIC] if self.asked == 1 else ["127.0.0.1"]


def test_a_resolver_that_changes_its_mind_is_asked_once(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    rebinding, dialled = Rebinding(), []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        address = host if host[0].isdigit() else rebinding()[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def dial(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        dialled.append(getaddrinfo(*address)[0][4][0])
        raise OSError("nobody is there")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", dial)
    outcome = send_webhook(parcel(f"https://rebinding.example:{receiver.port}/"), patience=1)
    assert (outcome.result, rebinding.asked, dialled) == ("failed", 1, [PUBLIC])


def certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS for a host, and a client's that trusts nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "tls.pem").write_bytes(pem + private)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "tls.pem")
    client = ssl.create_default_context(cadata=pem.decode())
    return server, client


def test_the_pinned_address_is_dialled_under_the_name_of_the_host(tmp_path: Path) -> None:
    server, client = certificate(tmp_path, "hooks.example")
    names: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    with Receiver(SECRET, server) as receiver:
        url = f"https://hooks.example:{receiver.port}/in?a=1"
        outcome = send_webhook(parcel(url), allow_private=True, resolve=lambda *_: ["127.0.0.1"], tls=client)
        assert outcome.result == "delivered"
        [got] = receiver.got
        assert (got.headers["host"], got.path, got.verified, names) == (
            f"hooks.example:{receiver.port}", "/in?a=1", True, ["hooks.example"],
        )  # fmt: skip
        other = f"https://other.example:{receiver.port}/"
        outcome = send_webhook(parcel(other), allow_private=True, resolve=lambda *_: ["127.0.0.1"], tls=client)
        assert outcome.result == "failed"
        assert "certificate" in outcome.said.lower()
        assert len(receiver.got) == 1
