"""What the database lets change of a signed agreement: exactly what an act of its own transaction says."""

from datetime import date

import psycopg
import pytest

from core.agreements.amend import amend
from core.agreements.sign import draft, sign
from core.period import Period

LATER = Period(date(2126, 1, 1), date(2127, 1, 1))  # far enough not to have ended
EVENT = """
INSERT INTO agreement_events
    (agreement_id, kind, party, signer, signed_on, effective_on, ends_on, amendment_number, reason, document_hash)
SELECT id, '{kind}', 'licensor', 'x', '2026-01-01', '{on}', {to}, {number}, 'y', '' FROM agreements;
"""
CUT = "UPDATE agreement_models SET days = days * daterange(NULL, '2126-07-01') WHERE model_id = 1"
END = "UPDATE agreements SET status = 'terminated', ended_on = '2126-07-01', ended_at = '2126-06-30T22:00Z'"
TERMINATED = EVENT.format(kind="terminated", on="2126-07-01", to="NULL", number=0)
AMENDED = EVENT.format(kind="amended", on="2126-07-01", to="NULL", number=1)
EXTENDED = EVENT.format(kind="extended", on="2127-01-01", to="'2128-01-01'", number=1)
LONGER = "UPDATE agreements SET ends_on = '2128-01-01', ends_at = '2127-12-31T23:00Z'"


@pytest.mark.parametrize(
    "statements",
    [
        CUT,  # no act says so
        AMENDED + CUT,  # the amendment still names the model
        TERMINATED + CUT.replace("07-01", "06-30"),  # another day than the act's
        TERMINATED + CUT.replace("NULL, '2126-07-01'", "'2126-02-01', '2126-07-01'"),  # its beginning, too
        TERMINATED + "UPDATE agreement_models SET days = daterange('2126-01-01', '2126-07-01'), model_id = 2",
        TERMINATED + "UPDATE agreement_models SET days = daterange('2126-01-01', '2129-01-01')",
        TERMINATED + "DELETE FROM agreement_models",
        TERMINATED.replace("2126-07-01", "2126-06-01") + END,  # the act names another day
        TERMINATED.replace("terminated", "revoked") + END,  # the act is another
        END,
        TERMINATED + END + ", ends_on = '2126-12-01'",
        TERMINATED + END.replace("06-30T", "07-30T"),  # an instant that is not on the day
        TERMINATED + END.replace("'terminated'", "'draft'"),
        LONGER,
        EXTENDED + LONGER.replace("'2128", "'2129"),
        EXTENDED + LONGER.replace("2127-12-31T", "2129-12-31T"),
        EXTENDED + LONGER + ", starts_on = '2125-01-01'",
        EXTENDED + LONGER.replace("SET", "SET status = 'terminated', ended_on = '2126-07-01', ended_at = now(),"),
        EXTENDED + "UPDATE agreements SET ends_on = '2126-06-01', ends_at = '2126-05-31T22:00Z'",  # shorter
        TERMINATED + "UPDATE amendments SET terms = '{}'",
        "UPDATE agreement_events SET reason = 'z'",
        "DELETE FROM agreement_events",
        "TRUNCATE agreement_events",
    ],
)
def test_only_what_an_act_of_the_same_transaction_says_may_change_whoever_asks(
    session, account, terms_of, owner_url, statements
):
    sign(session, account, "deal", LATER, terms_of("sd-1", "sd-2"))
    amend(session, "deal", date(2126, 2, 1), terms_of("sd-1", "sd-2", rate="0.02"))
    session.commit()
    with psycopg.connect(owner_url) as owner:
        before = owner.execute("SELECT agreements::text, m::text FROM agreements, agreement_models m").fetchall()
        with pytest.raises(psycopg.Error, match=r"is signed|signed cover|signed terms|append-only"):
            owner.execute(statements)
        owner.rollback()
        assert (
            owner.execute("SELECT agreements::text, m::text FROM agreements, agreement_models m").fetchall() == before
        )


@pytest.mark.parametrize("statements", [TERMINATED + CUT, TERMINATED + END, EXTENDED + LONGER])
def test_and_exactly_that_may(session, account, terms_of, owner_url, statements):
    sign(session, account, "deal", LATER, terms_of("sd-1", "sd-2"))
    session.commit()
    with psycopg.connect(owner_url) as owner:
        owner.execute(statements)


def test_an_act_of_yesterday_licenses_no_change_of_today(session, account, terms_of, owner_url):
    sign(session, account, "deal", LATER, terms_of("sd-1", "sd-2"))
    session.commit()
    with psycopg.connect(owner_url) as owner:
        owner.execute(TERMINATED)
        owner.commit()
        with pytest.raises(psycopg.Error, match="signed cover"):
            owner.execute(CUT)


@pytest.mark.parametrize("statement", ["UPDATE agreements SET status = 'terminated'", END, END.replace("term", "rev")])
def test_a_draft_can_only_be_signed_even_by_the_owner(session, account, terms_of, owner_url, statement):
    draft(session, account, "deal", LATER, terms_of("sd-1"))
    session.commit()
    with psycopg.connect(owner_url) as owner, pytest.raises(psycopg.Error, match=r"is a draft|check constraint"):
        owner.execute(statement)


def test_nothing_is_signed_without_both_signatures_under_one_text(session, account, terms_of, owner_url):
    draft(session, account, "deal", LATER, terms_of("sd-1"))
    session.commit()
    signed = EVENT.format(kind="signed", on="2126-01-01", to="NULL", number=0)
    other_text = signed.replace("'licensor'", "'licensee'").replace("'' FROM", "'else' FROM")
    for statements in ("", signed, signed + other_text):
        with psycopg.connect(owner_url) as owner, pytest.raises(psycopg.Error, match="not signed by both sides"):
            owner.execute(statements + "UPDATE agreements SET status = 'signed', signed_at = now()")
            owner.commit()
    with psycopg.connect(owner_url) as owner:
        both = signed + signed.replace("'licensor'", "'licensee'")
        owner.execute(both + "UPDATE agreements SET status = 'signed', signed_at = now()")
