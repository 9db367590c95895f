"""Signing, drafting and amending, and what the database refuses whoever asks."""

import hashlib
import json
from datetime import UTC, date, datetime

import psycopg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.agreements.amend import amend
from core.agreements.queries import agreement_versions, coverage, signed_agreements
from core.agreements.sign import draft, redraft, sign, sign_draft
from core.agreements.tables import Agreement, AgreementModel, Amendment
from core.agreements.terms import terms_document
from core.errors import Conflict, NotFound
from core.period import Period
from core.registry import register
from core.registry.entries import ModelEntry
from core.registry.tables import Account, Model

YEAR = Period(date(2026, 1, 1), date(2027, 1, 1))
SPRING = Period(date(2026, 3, 1), date(2026, 6, 1))


def covered(session, model: str) -> list[tuple[date, date]]:
    rows = session.scalars(
        select(AgreementModel.days).join(Model, Model.id == AgreementModel.model_id).where(Model.slug == model)
    )
    return sorted((days.lower, days.upper) for days in rows)


def test_a_signed_agreement_keeps_its_bounds_as_instants_and_its_terms_by_their_hash(session, account, terms_of):
    terms = terms_of("sd-1")
    agreement = sign(session, account, "deal", YEAR, terms)
    session.refresh(agreement)
    assert agreement.starts_at == datetime(2025, 12, 31, 23, tzinfo=UTC), "midnight in Berlin"
    assert agreement.ends_at == datetime(2026, 12, 31, 23, tzinfo=UTC)
    assert (agreement.status, agreement.name) == ("signed", "deal")
    assert agreement.signed_at is not None
    (amendment,) = agreement.amendments
    canonical = json.dumps(terms_document(terms), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert amendment.document_hash == hashlib.sha256(canonical.encode()).hexdigest()
    assert (amendment.number, amendment.effective_on) == (0, YEAR.start)
    assert agreement_versions(session, agreement.id) == [(YEAR.start, terms)]
    assert covered(session, "sd-1") == [(YEAR.start, YEAR.end)]


def test_an_overlap_is_refused_by_the_database_and_names_the_agreement_in_the_way(session, account, terms_of):
    sign(session, account, "deal", YEAR, terms_of("sd-1", "sd-2"))
    session.commit()
    with pytest.raises(Conflict) as refused:
        sign(session, account, "second", SPRING, terms_of("sd-2"))
    assert refused.value.code == "agreements_overlap"
    assert refused.value.detail["agreement"] == "deal"
    assert "second would cover sd-2 from 2026-03-01 to 2026-06-01 (exclusive), which agreement deal does" in str(
        refused.value
    )
    session.rollback()
    sign(session, account, "next-year", Period(YEAR.end, date(2028, 1, 1)), terms_of("sd-1"))
    assert [a.slug for a in signed_agreements(session, SPRING)] == ["deal"]


def test_two_who_sign_the_same_days_at_once_cannot_both_succeed(engine, session, account, terms_of):
    session.commit()
    sign(session, account, "mine", YEAR, terms_of("sd-1"))
    with Session(engine) as other:
        other.execute(text("SET lock_timeout = '200ms'"))
        with pytest.raises(DBAPIError, match="lock timeout"):  # it waits for us, and would be refused once we commit
            sign(other, other.get_one(Account, account.id), "theirs", YEAR, terms_of("sd-1"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE amendments SET terms = '{}'",
        "UPDATE amendments SET effective_on = effective_on + 1",
        "DELETE FROM amendments",
        "UPDATE agreements SET ends_on = ends_on + 1, ends_at = ends_at + interval '1 day'",
        "UPDATE agreements SET status = 'draft', signed_at = NULL",
        "UPDATE agreements SET account_id = account_id",
        "DELETE FROM agreements",
        "UPDATE agreement_models SET days = daterange('2026-01-01', '2026-01-02')",
        "DELETE FROM agreement_models",
        "TRUNCATE agreements CASCADE",
        "TRUNCATE amendments",
        "TRUNCATE agreement_models",
    ],
)
def test_signed_terms_cannot_be_changed_by_the_application_or_the_owner(
    session, account, terms_of, owner_url, statement
):
    sign(session, account, "deal", YEAR, terms_of("sd-1"))
    session.commit()
    before = session.execute(text("SELECT agreements::text, amendments::text FROM agreements, amendments")).all()
    with pytest.raises(DBAPIError, match=r"permission denied|signed|append-only|must be owner"):
        session.execute(text(statement))
    session.rollback()
    if statement != "UPDATE agreements SET account_id = account_id":  # which changes nothing, so the owner may
        with psycopg.connect(owner_url) as owner, pytest.raises(psycopg.Error, match=r"signed|append-only|foreign key"):
            owner.execute(statement)
    after = session.execute(text("SELECT agreements::text, amendments::text FROM agreements, amendments")).all()
    assert after == before


def test_an_amendment_is_numbered_added_and_never_edits(session, account, terms_of):
    agreement = sign(session, account, "deal", YEAR, terms_of("sd-1"))
    session.commit()
    first = session.execute(select(Amendment.terms, Amendment.document_hash)).one()
    amendment = amend(session, "deal", date(2026, 7, 1), terms_of("sd-1", "sd-2", rate="0.02"))
    assert amendment.number == 1
    assert session.execute(select(Amendment.terms, Amendment.document_hash).where(Amendment.number == 0)).one() == first
    assert covered(session, "sd-1") == [(YEAR.start, YEAR.end)]
    assert covered(session, "sd-2") == [(date(2026, 7, 1), YEAR.end)]
    amend(session, "deal", date(2026, 2, 1), terms_of("sd-1", "sd-2", rate="0.03"))  # back-dated: replaces the first
    assert covered(session, "sd-2") == [(date(2026, 2, 1), date(2026, 7, 1)), (date(2026, 7, 1), YEAR.end)]
    assert [day for day, _ in agreement_versions(session, agreement.id)] == [
        YEAR.start,
        date(2026, 7, 1),
        date(2026, 2, 1),
    ]


def test_an_added_model_may_not_take_days_that_another_agreement_holds(session, account, terms_of):
    sign(session, account, "deal", YEAR, terms_of("sd-1"))
    sign(session, account, "spring", SPRING, terms_of("sd-2"))
    with pytest.raises(Conflict, match="agreement spring does already"):
        amend(session, "deal", date(2026, 2, 1), terms_of("sd-1", "sd-2"))
    amend(session, "deal", SPRING.end, terms_of("sd-1", "sd-2"))
    assert covered(session, "sd-2") == [(SPRING.start, SPRING.end), (SPRING.end, YEAR.end)]


def test_amendments_known_at_signing_may_add_and_drop_models(session, account, terms_of):
    later = [(date(2026, 3, 1), terms_of("sd-2")), (date(2026, 5, 1), terms_of("sd-1"))]
    sign(session, account, "deal", YEAR, terms_of("sd-1"), amendments=later)
    assert covered(session, "sd-1") == [(YEAR.start, date(2026, 3, 1)), (date(2026, 5, 1), YEAR.end)]
    assert covered(session, "sd-2") == [(date(2026, 3, 1), date(2026, 5, 1))]


def test_a_draft_covers_nothing_may_change_and_then_is_signed(session, account, terms_of):
    sign(session, account, "deal", YEAR, terms_of("sd-1"))
    draft(session, account, "next", SPRING, terms_of("sd-1"))
    assert covered(session, "sd-1") == [(YEAR.start, YEAR.end)], "a draft may overlap"
    redraft(session, "next", SPRING, terms_of("sd-2"), [(date(2026, 4, 1), terms_of("sd-2", rate="0.5"))])
    with pytest.raises(Conflict, match="next is a draft: change its terms, then sign it"):
        amend(session, "next", date(2026, 5, 1), terms_of("sd-2"))
    assert [a.slug for a in signed_agreements(session, YEAR)] == ["deal"]
    signed = sign_draft(session, "next")
    session.refresh(signed)
    assert (signed.status, signed.starts_on) == ("signed", SPRING.start)
    assert covered(session, "sd-2") == [(SPRING.start, SPRING.end)]
    for again in (lambda: sign_draft(session, "next"), lambda: redraft(session, "next", SPRING, terms_of("sd-2"))):
        with pytest.raises(Conflict, match="is signed"):
            again()


def test_a_draft_that_overlaps_cannot_be_signed(session, account, terms_of):
    sign(session, account, "deal", YEAR, terms_of("sd-1"))
    draft(session, account, "next", SPRING, terms_of("sd-1"))
    with pytest.raises(Conflict, match="agreement deal does already"):
        sign_draft(session, "next")
    assert session.scalar(select(Agreement.status).where(Agreement.slug == "next")) == "draft"


def test_what_could_not_be_rated_is_not_signed(session, account, terms_of):
    band = {"kind": "flat", "band": ["1", "2"]}
    unsettled = [{"name": "x", "models": ["sd-1"], "schedule": band}]
    buzz = {
        "unit": "BUZZ",
        "conversions": [{"from": "BUZZ", "to": "USD", "rate": "0.001", "effective_on": "2026-02-01"}],
    }
    outside = {"name": "c", "kind": "images", "quantity": 1, "period": "term", "ends_on": "2028-01-01"}
    for terms, wanted in (
        (terms_of("nobody"), r"terms.fees\[0\].models\[0\]: there is no model called nobody"),
        (terms_of("foreign"), "foreign belongs to other, not to guild"),
        (terms_of("lora"), "lora owes only the fee of its base"),
        (terms_of(fees=unsettled), "has a band, not a price yet"),
        (terms_of("sd-1", currency="EUR"), "kept in USD for good"),
        (terms_of("sd-1", **buzz), r"there is no unit BUZZ.*what one BUZZ is worth is not said before 2026-02-01"),
        (terms_of("sd-1", commitments=[outside]), r"commitments\[0\].ends_on: 2028-01-01 is outside the term"),
    ):
        with pytest.raises(Conflict, match=wanted):
            sign(session, account, "deal", YEAR, terms)
    with pytest.raises(Conflict, match=r"amendments\[0\].effective_on: 2027-01-01 is outside the term"):
        sign(session, account, "deal", YEAR, terms_of("sd-1"), amendments=[(YEAR.end, terms_of("sd-1"))])
    with pytest.raises(Conflict, match="nothing is agreed for ever"):
        sign(session, account, "deal", Period(YEAR.start, date(3000, 1, 2)), terms_of("sd-1"))
    assert session.scalar(select(func.count()).select_from(Agreement)) == 0
    draft(session, account, "deal", YEAR, terms_of(fees=unsettled))


def test_a_slug_names_one_agreement(session, account, terms_of):
    sign(session, account, "deal", YEAR, terms_of("sd-1"))
    with pytest.raises(Conflict, match="there is an agreement called deal already"):
        sign(session, account, "deal", Period(YEAR.end, date(2028, 1, 1)), terms_of("sd-1"))
    with pytest.raises(NotFound, match="no agreement called nobody"):
        amend(session, "nobody", YEAR.start, terms_of("sd-1"))


def test_coverage_as_read_follows_what_was_signed(session, account, terms_of):
    sign(session, account, "deal", SPRING, terms_of("sd-1"))
    register.add_models(session, [ModelEntry("sd-3", "SD 3", "guild")])
    ids = register.ids(session, Model, ["sd-1", "sd-3", "foreign"])
    read = coverage(session)
    inside, before = datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 2, 28, 22, 59, tzinfo=UTC)
    north = account.licensee_id
    assert read.standing(north, frozenset({ids["sd-1"]}), inside) is None
    assert read.standing(north, frozenset({ids["sd-1"]}), before) == "no_agreement"
    assert read.standing(north, frozenset({ids["sd-1"], ids["sd-3"]}), inside) == "no_agreement"
    assert read.standing(north, frozenset({ids["foreign"]}), inside) == "no_account"
    calendar = read.account(north, account.licensor_id)
    assert calendar is not None
    assert calendar.zone == "Europe/Berlin"
