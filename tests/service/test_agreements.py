"""Reading agreements: one's own, signed ones, in full and in words."""

from datetime import date, timedelta

from sqlalchemy.orm import Session

from core.agreements.amend import revoke
from core.agreements.documents import declared_in_catalogue
from core.agreements.sign import draft
from core.agreements.terms import parse_terms
from core.database import make_engine
from core.period import Period
from core.registry.tables import Account
from tests.door import Door, event, report, stamp, wait_until

TODAY = date.fromisoformat(stamp()[:10])


def test_a_licensee_reads_its_own_agreements_and_nobody_elses(door: Door) -> None:
    page = door.get("/v1/agreements").json()
    assert [(row["slug"], row["status"]) for row in page["agreements"]] == [("deal-north", "signed")]
    assert page["next"] is None
    content = door.get("/v1/agreements/deal-north").json()
    (version,) = content["versions"]
    assert version["in_words"][0] == {
        "heading": "What is owed",
        "sentences": ["sd-1 images (images by sd-1): 0.01 USD an image."],
    }
    assert version["terms"]["fees"][0]["schedule"] == {"kind": "flat", "rate": "0.01"}
    assert {event["party"] for event in content["events"]} == {"licensor", "licensee"}
    for slug in ("deal-south", "nobody"):
        refused = door.get(f"/v1/agreements/{slug}")
        assert (refused.status_code, refused.json()["code"]) == (404, "unknown_agreement")
    assert door.get("/v1/agreements/Deal%00").status_code == 422
    assert door.client.get("/v1/agreements").status_code == 401


def test_a_draft_is_not_shown_before_it_is_signed(door: Door, database_url: str) -> None:
    engine = make_engine(database_url)
    terms = {"currency": "USD", "fees": [{"name": "x", "models": ["grain"], "schedule": {"kind": "zero"}}]}
    with Session(engine) as session:
        account = session.query(Account).order_by(Account.id).first()
        assert account is not None
        draft(session, account, "offer", Period(TODAY, TODAY + timedelta(days=9)), parse_terms(terms))
        session.commit()
    engine.dispose()
    assert door.get("/v1/agreements/offer").status_code == 404
    assert [row["slug"] for row in door.get("/v1/agreements").json()["agreements"]] == ["deal-north"]


def test_pages_follow_on(door: Door) -> None:
    page = door.get("/v1/agreements", limit="1").json()
    assert page["next"] == "deal-north"
    assert door.get("/v1/agreements", after="deal-north").json()["agreements"] == []


def test_usage_after_a_revocation_is_held_and_kept(door: Door, database_url: str) -> None:
    engine = make_engine(database_url)
    assert door.post(report([event()])).json()["results"][0]["status"] == "accepted"
    with Session(engine) as session:
        revoke(session, "deal-north", TODAY, declared_in_catalogue(TODAY, "breach", parties=("licensor",)))
        session.commit()
    engine.dispose()

    def is_held() -> bool:
        (result,) = door.post(report([event()])).json()["results"]
        return (result["status"], result.get("code")) == ("held", "no_agreement")

    wait_until(is_held, patience=3)  # the service looks every second
    assert door.get("/v1/agreements/deal-north").json()["status"] == "revoked"
