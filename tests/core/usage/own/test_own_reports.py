"""A report's events are found by its transaction and number, also when one transaction wrote many reports."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from core.database import licensee_eyes
from core.usage.intake.intake import Intake
from core.usage.own.reports import report, reports
from tests.core.usage.intake.test_intake import new_licensee, write, writer


@pytest.fixture
def intake(database_url: str) -> Iterator[Intake]:
    with writer(database_url) as opened:
        yield opened


def ids(session: Session, licensee: int, report_id: str) -> list[str]:
    """The events of a report as its licensee sees it."""
    with licensee_eyes(session, licensee):
        found = report(session, report_id)
        assert found.events is not None
        return [row.event_id for row in found.events]


def test_reports_of_one_transaction_have_each_their_own_events(intake: Intake, session: Session):
    north, south = new_licensee(intake), new_licensee(intake)
    sent = [
        (north, "r1", [{"event_id": "a"}, {"event_id": "b"}]),
        (north, "r2", [{"event_id": "c"}]),
        (south, "r1", [{"event_id": "a"}, {"event_id": "d"}]),
    ]
    write(intake, *sent)
    assert (ids(session, north, "r1"), ids(session, north, "r2")) == (["a", "b"], ["c"])
    assert ids(session, south, "r1") == ["a", "d"]


def test_events_written_with_care_are_found_too(intake: Intake, session: Session):
    """A known event sends the group piece by piece and through staging, under savepoints of the same transaction."""
    north = new_licensee(intake)
    write(intake, (north, "first", [{"event_id": "known"}]))
    many = [{"event_id": f"e{n:03}"} for n in range(600)]
    write(intake, (north, "large", many), (north, "mixed", [{"event_id": "known"}, {"event_id": "new"}]))
    assert ids(session, north, "large") == [each["event_id"] for each in many]
    assert ids(session, north, "mixed") == ["new"]
    assert ids(session, north, "first") == ["known"]


def test_a_session_without_eyes_still_names_no_other_licensees_key(intake: Intake, session: Session):
    """Keys are joined by licensee and id, so a report whose key is not its licensee's shows none."""
    north = new_licensee(intake)
    write(intake, (north, "r", [{"event_id": "a"}]))
    with licensee_eyes(session, north):
        (found,) = reports(session)
    assert (found.key_id, found.key, found.counts.accepted) == ("", "", 1)
