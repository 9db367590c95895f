"""`perimage agreements` as a finance person runs it: a look first, then the signatures."""

import json
from datetime import date
from pathlib import Path

import pytest
import yaml
from sqlalchemy.orm import Session

from core.database import make_engine
from core.invoicing.drafts.close import close
from core.invoicing.life.issue import issue
from core.period import Period
from core.usage.counts.rollup import roll_up
from tests.trade import Trade, flat

NAMES = ("--for-licensor", "Ada Lovelace", "--for-licensee", "Bob Cook")
DRAFT = """
licensors: [{slug: circle, name: Circle, invoice_prefix: CRC}]
models: [{slug: anima, name: Anima, licensor: circle, kind: checkpoint}]
licensees: [{slug: light, name: Light}]
accounts: [{licensor: circle, licensee: light, currency: USD}]
agreements:
  - slug: offer
    account: {licensor: circle, licensee: light}
    starts_on: 2026-01-01
    ends_on: 2127-01-01
    draft: true
    terms: {currency: USD, fees: [{name: images, models: [anima], schedule: {kind: flat, rate: "5"}}]}
"""


@pytest.fixture
def traded(database_url: str) -> None:
    """`deal`: sd-1 at a cent until the end of 2126; 1,000 images in September (issued), 400 in October."""
    engine = make_engine(database_url)
    with Session(engine) as session:
        trade = Trade(session)
        agreement = trade.agreement(fees=[flat("sd-1", "0.01")], ends_on=date(2127, 1, 1))
        trade.use("sd-1", 1000, "2026-09-20T00:00Z")
        session.commit()
        roll_up(session)
        closed = close(session, agreement.id, Period.month("2026-09"))
        assert closed.invoice is not None
        issue(session, closed.invoice.id)
        trade.use("sd-1", 400, "2026-10-20T00:00Z")  # the command rolls it up for the preview
        session.commit()
    engine.dispose()


@pytest.fixture
def dearer(tmp_path: Path) -> Path:
    file = tmp_path / "terms.yaml"
    file.write_text(yaml.safe_dump({"currency": "USD", "fees": [flat("sd-1", "0.03")]}))
    return file


def test_an_amendment_is_looked_at_signed_and_shown(perimage, traded, dearer):
    command = ("agreements", "amend", "deal", dearer, "--effective-on", "2026-09-16")
    looked = perimage(*command, "--preview", "--json")
    assert looked.exit_code == 0, looked.output
    diff = json.loads(looked.stdout)
    assert (diff["signed"], diff["period"], diff["total_before"], diff["total_after"], diff["difference"]) == (
        False,
        "2026-10",
        "4.00",
        "32.00",
        "28.00",
    )
    assert [(line["description"], line["adjustment"], line["before"], line["after"]) for line in diff["lines"]] == [
        ("Adjustment to 2026-09: Images by sd-1, no longer owed", True, None, "-10.00"),
        ("Adjustment to 2026-09: Images by sd-1, 2026-09-16 to 2026-09-30", True, None, "30.00"),
        ("Images by sd-1", False, "4.00", "12.00"),
    ]
    on_screen = perimage(*command, "--preview").stdout
    assert "Adjustment to 2026-09: Images by sd-1" in on_screen
    assert "Nothing was done. With --sign instead of --preview it is." in on_screen
    assert len(json.loads(perimage("agreements", "show", "deal", "--json").stdout)["versions"]) == 1
    signed = perimage(*command, "--sign", *NAMES, "--reason", "a new offer", "--paper", dearer)
    assert (signed.exit_code, "Done: amend deal." in signed.stdout) == (0, True), signed.output
    shown = perimage("agreements", "show", "deal").stdout
    assert "16 September 2026 to 31 December 2126 (amendment 1)" in shown
    assert "sd-1 images (images by sd-1): 0.03 USD an image." in shown
    assert "amendment 1, effective 2026-09-16, Ada Lovelace for the licensor: a new offer" in shown
    events = json.loads(perimage("agreements", "show", "deal", "--json").stdout)["events"]
    assert {len(event["paper_hash"]) for event in events if event["kind"] == "amended"} == {64}


def test_a_draft_is_signed_by_one_side_and_then_by_the_other(perimage, tmp_path):
    file = tmp_path / "catalogue.yaml"
    file.write_text(DRAFT)
    assert perimage("apply", file).exit_code == 0
    assert "draft" in perimage("agreements", "list").stdout
    first = perimage("agreements", "sign", "offer", "--by", "licensor", "--name", "Ada")
    assert "Signed offer for the licensor. The licensee has yet to sign it." in first.stdout
    assert "Not signed yet by the licensee." in perimage("agreements", "show", "offer").stdout
    second = perimage("agreements", "sign", "offer", "--by", "licensee", "--name", "Bob", "--signed-on", "2026-01-05")
    assert "Both sides have signed: it is in force as agreed." in second.stdout
    again = perimage("agreements", "sign", "offer", "--by", "licensee", "--name", "Bob")
    assert (again.exit_code, again.stderr) == (2, "perimage: agreement offer is signed already\n")
    (row,) = json.loads(perimage("agreements", "list", "light", "--json").stdout)
    assert (row["slug"], row["status"]) == ("offer", "signed")
    file.write_text(DRAFT.replace("draft: true", "draft: false"))
    assert "Nothing to do" in perimage("apply", file).stdout


def test_an_agreement_is_extended_terminated_and_revoked_and_the_catalogue_goes_on_working(perimage, tmp_path):
    file = tmp_path / "catalogue.yaml"
    signed = DRAFT.replace("    draft: true\n", "")
    file.write_text(signed)
    perimage("apply", file)
    longer = perimage("agreements", "extend", "offer", "--to", "2128-01-01", "--sign", *NAMES, "--json")
    assert json.loads(longer.stdout)["signed"] is True, longer.output
    assert "Nothing to do" in perimage("apply", file).stdout, "the old end is no edit"
    file.write_text(signed.replace("2127-01-01", "2128-01-01"))
    assert "Nothing to do" in perimage("apply", file).stdout
    ended = ("--for-licensor", "Ada", "--reason", "unpaid")
    assert perimage("agreements", "terminate", "offer", "--on", "2126-06-01", "--sign", *ended).exit_code == 0
    assert perimage("agreements", "revoke", "offer", "--on", "2126-05-01", "--sign", *ended).exit_code == 0
    shown = perimage("agreements", "show", "offer").stdout
    assert "Anima" not in shown
    assert "offer (offer): revoked" in shown
    assert "It was revoked: from 2126-05-01 on nothing is covered." in shown
    assert "extension to 2128-01-01, effective 2127-01-01, Bob Cook for the licensee" in shown
    assert "Nothing to do" in perimage("apply", file).stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("extend", "deal", "--to", "2130-01-01"), "write --preview to see what it changes, or --sign to do it"),
        (
            ("extend", "deal", "--to", "2130-01-01", "--sign"),
            "an extension needs the signature of the licensor and the",
        ),
        (("extend", "deal", "--to", "soon", "--preview"), "--to: write a day as YYYY-MM-DD"),
        (("extend", "deal", "--to", "2126-01-01", "--preview"), "agreement deal runs to 2127-01-01 already"),
        (("terminate", "deal", "--on", "2126-01-01", "--sign", *NAMES), "say why: the reason is kept"),
        (("terminate", "deal", "--on", "2199-01-01", "--preview"), "it can end early on a day between the two"),
        (("revoke", "nobody", "--on", "2126-01-01", "--preview"), "there is no agreement called nobody"),
        (("show", "nobody"), "there is no agreement called nobody"),
        (("list", "nobody"), "there is no licensee called nobody"),
        (("sign", "deal", "--by", "me", "--name", "x"), "--by: write one of licensor, licensee, not 'me'"),
        (
            ("sign", "deal", "--by", "licensor", "--name", "x", "--paper", "/nowhere"),
            "cannot read /nowhere: No such file",
        ),
        (("amend", "deal", "/nowhere", "--effective-on", "2026-09-01", "--preview"), "cannot read /nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(perimage, traded, words, sentence):
    refused = perimage("agreements", *words)
    assert refused.exit_code == 2, refused.output
    assert sentence in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_terms_that_cannot_be_rated_are_refused_in_the_preview_already(perimage, traded, tmp_path):
    file = tmp_path / "terms.yaml"
    file.write_text(yaml.safe_dump({"currency": "EUR", "fees": [flat("sd-1", "0.03")]}))
    refused = perimage("agreements", "amend", "deal", file, "--effective-on", "2026-09-16", "--preview")
    assert (refused.exit_code, "kept in USD for good" in refused.stderr) == (2, True)


def test_usage_after_a_revocation_stays_in_sight(perimage, traded):
    perimage(
        "agreements", "revoke", "deal", "--on", "2026-10-01", "--sign", "--for-licensor", "Ada", "--reason", "breach"
    )
    perimage("agreements", "extend", "deal", "--to", "2130-01-01", "--preview")
    shown = json.loads(perimage("agreements", "show", "deal", "--json").stdout)
    assert shown["status"] == "revoked"
    assert shown["unlicensed"] == [], "not rolled up yet: looking at a change counts nothing"
