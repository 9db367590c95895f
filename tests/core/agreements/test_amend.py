"""Amendments, extensions and early ends: what they change, what they leave alone, and what is written down of them."""

from datetime import UTC, date, datetime
from threading import Barrier, Thread, Timer

import psycopg
import pytest
from psycopg.types.range import DateRange
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.agreements.amend import amend, extend, revoke, terminate
from core.agreements.documents import Consent, Signature, document_hash, ending_document
from core.agreements.queries import agreement_events, cover_of, coverage, promised_versions
from core.agreements.sign import draft, redraft, sign, sign_as, sign_draft, signed_by
from core.agreements.tables import Agreement, AgreementEvent, AgreementModel
from core.database import licensee_eyes
from core.errors import Conflict, InvalidInput
from core.period import Period
from core.registry.register import ids
from core.registry.tables import Model

YEAR = Period(date(2026, 1, 1), date(2027, 1, 1))
LATER = Period(date(2126, 1, 1), date(2127, 1, 1))  # far enough not to have ended
SPRING, JULY = Period(date(2026, 3, 1), date(2026, 6, 1)), date(2026, 7, 1)
ADA, BOB = Signature("licensor", "Ada", date(2026, 1, 2)), Signature("licensee", "Bob", date(2026, 1, 3))
NOTICE = Consent((ADA,), reason="breach of section 4")


def covered(session, agreement: Agreement) -> list[tuple[str, date, date]]:
    return [(model, days.start, days.end) for model, days in cover_of(session, agreement.id)]


def status_of(session, slug: str) -> tuple[str, date | None]:
    status, ended_on = session.execute(select(Agreement.status, Agreement.ended_on).where(Agreement.slug == slug)).one()
    return status, ended_on


def test_each_side_signs_by_itself_and_with_the_second_the_agreement_covers(session, account, terms_of):
    agreement = draft(session, account, "deal", YEAR, terms_of("sd-1"))
    sign_as(session, "deal", ADA, paper_hash="f" * 64)
    assert (status_of(session, "deal")[0], covered(session, agreement)) == ("draft", [])
    with pytest.raises(Conflict, match="the licensor has signed this text of agreement deal already"):
        sign_as(session, "deal", Signature("licensor", "Eve", date(2026, 1, 2)))
    sign_as(session, "deal", BOB)
    session.commit()
    assert status_of(session, "deal")[0] == "signed"
    assert covered(session, agreement) == [("sd-1", YEAR.start, YEAR.end)]
    events = agreement_events(session, agreement.id)
    assert [(e.kind, e.party, e.signer, e.signed_on, e.paper_hash) for e in events] == [
        ("signed", "licensor", "Ada", ADA.signed_on, "f" * 64),
        ("signed", "licensee", "Bob", BOB.signed_on, None),
    ]
    assert len({e.document_hash for e in events}) == 1


def test_a_signature_does_not_count_for_a_text_that_was_changed_after_it(session, account, terms_of):
    agreement = draft(session, account, "deal", YEAR, terms_of("sd-1"))
    sign_as(session, "deal", ADA)
    redraft(session, "deal", YEAR, terms_of("sd-1", rate="0.02"))
    assert signed_by(session, agreement) == set()
    sign_as(session, "deal", BOB)
    assert status_of(session, "deal")[0] == "draft"
    redraft(session, "deal", YEAR, terms_of("sd-1"))  # the first text again, which Ada has signed
    assert signed_by(session, agreement) == {"licensor"}
    sign_as(session, "deal", BOB)
    session.commit()
    assert status_of(session, "deal")[0] == "signed"


def test_a_band_cannot_even_be_signed_by_one_side(session, account, terms_of):
    band = [{"name": "x", "models": ["sd-1"], "schedule": {"kind": "flat", "band": ["1", "2"]}}]
    draft(session, account, "deal", YEAR, terms_of(fees=band))
    with pytest.raises(Conflict, match="has a band, not a price yet"):
        sign_as(session, "deal", ADA)


def test_what_the_catalogue_declares_signed_has_both_signatures_saying_so(session, account, terms_of):
    agreement = sign(session, account, "deal", YEAR, terms_of("sd-1"))
    session.commit()
    events = agreement_events(session, agreement.id)
    assert {(e.party, e.signer) for e in events} == {
        ("licensor", "declared in the catalogue"),
        ("licensee", "declared in the catalogue"),
    }


def test_an_amendment_takes_a_model_out_and_another_agreement_may_have_it(session, account, terms_of):
    deal = sign(session, account, "deal", YEAR, terms_of("sd-1", "sd-2"))
    amend(session, "deal", JULY, terms_of("sd-1"), Consent((ADA, BOB), "sd-2 goes its own way"))
    assert covered(session, deal) == [("sd-1", YEAR.start, YEAR.end), ("sd-2", YEAR.start, JULY)]
    other = sign(session, account, "other", Period(JULY, YEAR.end), terms_of("sd-2"))
    session.commit()
    assert covered(session, other) == [("sd-2", JULY, YEAR.end)]
    with pytest.raises(Conflict, match="agreement other does already"):
        amend(session, "deal", date(2026, 9, 1), terms_of("sd-1", "sd-2"))
    session.rollback()
    event = agreement_events(session, deal.id)[-1]
    assert (event.kind, event.effective_on, event.amendment_number, event.reason) == (
        "amended",
        JULY,
        1,
        "sd-2 goes its own way",
    )


def test_a_back_dated_removal_takes_back_cover_that_had_not_begun_by_then(session, account, terms_of):
    deal = sign(session, account, "deal", YEAR, terms_of("sd-1"))
    amend(session, "deal", JULY, terms_of("sd-1", "sd-2"))
    amend(session, "deal", SPRING.start, terms_of("sd-1"))
    assert covered(session, deal) == [("sd-1", YEAR.start, YEAR.end)]
    assert session.scalar(select(func.count()).select_from(AgreementModel)) == 2, "the row stays, empty"
    amend(session, "deal", SPRING.end, terms_of("sd-1", "sd-2"))
    session.commit()
    assert covered(session, deal)[1:] == [("sd-2", SPRING.end, YEAR.end)]
    coverage(session)  # reads past the empty row


def test_an_extension_covers_on_and_leaves_promises_over_the_term_where_they_were(session, account, terms_of):
    floor = [
        {"name": "floor", "kind": "images", "quantity": 100, "period": "term"},
        {"name": "monthly", "kind": "images", "quantity": 5, "period": "month"},
    ]
    deal = sign(session, account, "deal", YEAR, terms_of("sd-1", commitments=floor))
    extend(session, "deal", date(2027, 7, 1), Consent((ADA, BOB)))
    extend(session, "deal", date(2028, 1, 1), Consent((ADA, BOB)))
    session.commit()
    session.refresh(deal)
    assert (deal.ends_on, deal.ends_at) == (date(2028, 1, 1), datetime(2027, 12, 31, 23, tzinfo=UTC))
    assert covered(session, deal) == [
        ("sd-1", YEAR.start, YEAR.end),
        ("sd-1", YEAR.end, date(2027, 7, 1)),
        ("sd-1", date(2027, 7, 1), date(2028, 1, 1)),
    ]
    ((_, terms),) = promised_versions(session, deal.id)
    assert [(c.name, c.ends_on) for c in terms.commitments] == [("floor", YEAR.end), ("monthly", None)]
    amend(session, "deal", YEAR.end, terms_of("sd-1", commitments=floor[:1]), Consent((ADA, BOB)))
    assert [c.ends_on for _, terms in promised_versions(session, deal.id) for c in terms.commitments] == [
        YEAR.end,
        None,
        None,
    ], "signed for the longer term"


def test_an_extension_may_not_take_days_that_another_agreement_holds(session, account, terms_of):
    deal = sign(session, account, "deal", YEAR, terms_of("sd-1"))
    sign(session, account, "next", Period(date(2027, 3, 1), date(2028, 1, 1)), terms_of("sd-1"))
    with pytest.raises(Conflict, match="which agreement next does already"):
        extend(session, "deal", date(2027, 4, 1))
    assert len(agreement_events(session, deal.id)) == 2, "a refused act leaves nothing behind"
    with pytest.raises(InvalidInput, match="runs to 2027-01-01 already: write a later day, or terminate it"):
        extend(session, "deal", YEAR.end)
    extend(session, "deal", date(2027, 3, 1))


@pytest.mark.parametrize("act", [terminate, revoke])
def test_an_early_end_gives_every_later_day_back(session, account, terms_of, act):
    deal = sign(session, account, "deal", LATER, terms_of("sd-1"), amendments=[(date(2126, 9, 1), terms_of("sd-2"))])
    end = date(2126, 7, 1)
    act(session, "deal", end, NOTICE)
    session.commit()
    session.refresh(deal)
    assert (deal.status, deal.ended_on) == ("terminated" if act is terminate else "revoked", end)
    assert deal.ended_at == datetime(2126, 6, 30, 22, tzinfo=UTC)
    assert (deal.ends_on, covered(session, deal)) == (LATER.end, [("sd-1", LATER.start, end)])
    event = agreement_events(session, deal.id)[-1]
    assert (event.reason, event.effective_on) == ("breach of section 4", end)
    assert event.document_hash == document_hash(ending_document("deal", deal.status, end, NOTICE.reason))
    sign(session, account, "after", Period(end, LATER.end), terms_of("sd-1", "sd-2"))
    session.commit()


def test_after_a_revocation_usage_is_held_for_want_of_an_agreement(session, account, terms_of):
    sign(session, account, "deal", LATER, terms_of("sd-1"))
    revoke(session, "deal", date(2126, 7, 1), NOTICE)
    read, model = coverage(session), frozenset({ids(session, Model, ["sd-1"])["sd-1"]})
    assert read.standing(account.licensee_id, model, datetime(2126, 6, 30, 21, 59, tzinfo=UTC)) is None
    assert read.standing(account.licensee_id, model, datetime(2126, 6, 30, 22, tzinfo=UTC)) == "no_agreement"


def test_a_revocation_overtakes_a_termination_and_nothing_follows_it(session, account, terms_of):
    deal = sign(session, account, "deal", LATER, terms_of("sd-1"))
    terminate(session, "deal", date(2126, 10, 1), Consent((ADA, BOB), "agreed"))
    with pytest.raises(Conflict, match=r"runs from 2126-01-01 to 2126-10-01 \(exclusive\): it can end early"):
        revoke(session, "deal", date(2126, 11, 1), NOTICE)
    revoke(session, "deal", date(2126, 5, 1), NOTICE)
    session.commit()
    assert covered(session, deal) == [("sd-1", LATER.start, date(2126, 5, 1))]
    for act in (
        lambda: revoke(session, "deal", date(2126, 4, 1), NOTICE),
        lambda: extend(session, "deal", date(2128, 1, 1)),
    ):
        with pytest.raises(Conflict, match="agreement deal was revoked"):
            act()
    with pytest.raises(Conflict, match=r"2126-06-01 is outside the term: write a day from 2126-01-01 to 2126-04-30"):
        amend(session, "deal", date(2126, 6, 1), terms_of("sd-1"))
    amend(session, "deal", date(2126, 2, 1), terms_of("sd-1", rate="0.02"))  # what ran can be repaired
    assert covered(session, deal) == [("sd-1", LATER.start, date(2126, 5, 1))]


def test_what_is_over_can_be_repaired_extended_and_known_to_have_ended_before(session, account, terms_of):
    past = Period(date(2024, 1, 1), date(2025, 1, 1))
    deal = sign(session, account, "deal", past, terms_of("sd-1"))
    amend(session, "deal", date(2024, 7, 1), terms_of("sd-1", rate="0.02"))
    extend(session, "deal", date(2025, 7, 1))
    terminate(session, "deal", date(2025, 3, 1), NOTICE)
    assert status_of(session, "deal") == ("terminated", date(2025, 3, 1))
    assert covered(session, deal) == [("sd-1", past.start, past.end), ("sd-1", past.end, date(2025, 3, 1))]


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda s, t: amend(s, "deal", JULY, t, Consent((ADA,))), "an amendment needs the signature of the licensee"),
        (lambda s, t: extend(s, "deal", LATER.end, Consent(())), "signature of the licensor and the licensee"),
        (lambda s, _: terminate(s, "deal", JULY, Consent((), "why")), "signature of the side that terminates"),
        (lambda s, _: terminate(s, "deal", JULY, Consent((ADA,), " ")), "say why: the reason is kept"),
        (lambda s, _: revoke(s, "deal", JULY, Consent((BOB,), "why")), "revoked by the licensor alone"),
        (lambda s, _: terminate(s, "deal", LATER.start, NOTICE), "it can end early on a day between the two"),
        (lambda s, _: terminate(s, "deal", LATER.end, NOTICE), "it can end early on a day between the two"),
        (
            lambda s, t: amend(s, "deal", JULY, t, Consent((ADA, Signature("licensee", "Bob", date(2999, 1, 1))))),
            "Bob cannot have signed on 2999-01-01: that is to come",
        ),
    ],
)
def test_an_act_without_what_it_needs_is_refused(session, account, terms_of, act, sentence):
    sign(session, account, "deal", LATER if "early" in sentence else Period(YEAR.start, LATER.end), terms_of("sd-1"))
    with pytest.raises((InvalidInput, Conflict), match=sentence):
        act(session, terms_of("sd-1"))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 256, "evil\u202egnp"])
def test_a_signature_has_a_name(name):
    with pytest.raises(InvalidInput, match="write the name of the person who signs for the licensor"):
        Signature("licensor", name, YEAR.start)


def at_once(count: int, work) -> list[object]:
    """What `count` threads came to that began together: what they returned, or what they raised."""
    barrier, outcomes = Barrier(count), []

    def one(n: int) -> None:
        barrier.wait(10)
        try:
            outcomes.append(work(n))
        except (Conflict, psycopg.Error) as error:
            outcomes.append(error)

    threads = [Thread(target=one, args=[n]) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcomes) == count
    return outcomes


def test_of_eight_who_sign_overlapping_agreements_at_once_one_wins_and_the_others_are_told_why(
    engine, session, account, terms_of, owner_url
):
    for n in range(8):  # in opposite orders, in which they would wait for each other
        odd = n % 2
        models = ("sd-1", "sd-2") if odd else ("sd-2", "sd-1")
        draft(session, account, f"deal-{n}", YEAR if odd else SPRING, terms_of(*models))
    session.commit()

    def sign_one(n: int) -> str:
        with Session(engine) as own:
            sign_draft(own, f"deal-{n}")
            own.commit()
        return f"deal-{n}"

    with psycopg.connect(owner_url) as owner:  # holds all of them back until they stand at the same door
        owner.execute("LOCK TABLE agreement_models IN SHARE MODE")
        timer = Timer(1, owner.commit)
        timer.start()
        outcomes = at_once(8, sign_one)
        timer.join()
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, str)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert len(refused) == 7
    assert all(f"which agreement {winner} does already" in str(refusal) for refusal in refused)
    assert session.scalar(select(func.count()).select_from(AgreementModel)) == 2
    assert session.scalar(select(func.count()).where(Agreement.status == "signed")) == 1


def test_the_constraint_decides_even_when_nobody_takes_turns(session, account, terms_of, owner_url):
    drafts = [draft(session, account, f"deal-{n}", YEAR, terms_of("sd-1")).id for n in range(8)]
    model_id, account_id = ids(session, Model, ["sd-1"])["sd-1"], account.id
    session.commit()

    def claim_one(n: int) -> bool:
        with psycopg.connect(owner_url) as own:
            own.execute("SET deadlock_timeout = '50ms'")
            own.execute(
                "INSERT INTO agreement_models (agreement_id, account_id, model_id, days) VALUES (%s, %s, %s, %s)",
                [drafts[n], account_id, model_id, DateRange(date(2026, 1, 1 + n), date(2026, 12, 1))],
            )
        return True

    outcomes = at_once(8, claim_one)
    lost = [outcome for outcome in outcomes if outcome is not True]
    assert len(lost) == 7
    assert all(isinstance(o, psycopg.errors.ExclusionViolation | psycopg.errors.DeadlockDetected) for o in lost)


def test_a_licensee_sees_the_events_of_its_own_agreements_only(session, account, terms_of):
    sign(session, account, "deal", YEAR, terms_of("sd-1"))
    licensee_id = account.licensee_id
    session.commit()
    for eyes, seen in ((licensee_id, 2), (licensee_id + 1, 0)):
        with licensee_eyes(session, eyes):
            assert session.scalar(select(func.count()).select_from(AgreementEvent)) == seen
    with pytest.raises(DBAPIError, match="permission denied"):
        session.execute(text("UPDATE agreement_events SET reason = 'z'"))
