"""Examples of the portal's addresses for the matrix, all of them north's; reports and files are made when asked for."""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.access.own_keys import issue_own_key
from core.actors import LicenseeActor
from core.registry.tables import Licensee, MeterKey
from core.usage.tables import UsageImport, UsageReport
from tests.service.dashboard.people import Dashboard

MANAGER = LicenseeActor("manager@north.example", "manager")
Sample = Callable[[Dashboard], str]


def a_key(dashboard: Dashboard) -> str:
    """The public id of a new key of north's."""
    with Session(dashboard.engine) as session:
        text = issue_own_key(session, _north(session), MANAGER, "the matrix")
        session.commit()
    return text.split("_")[1]


def a_report(dashboard: Dashboard) -> str:
    with Session(dashboard.engine) as session:
        row = {"report_no": 1, "key_id": 1, "body_digest": b"\x00" * 32, "image_count": 0, "outcomes": []}
        counts = dict.fromkeys(("accepted", "duplicate", "held", "conflict", "rejected"), 0)
        values = {"licensee_id": _north(session), "report_id": "norths/1", **row, **counts}
        session.execute(insert(UsageReport).values(**values).on_conflict_do_nothing())
        session.commit()
    return "norths/1"


def a_file(dashboard: Dashboard) -> str:
    with Session(dashboard.engine) as session:
        values = {"licensee_id": _north(session), "import_id": "norths-file", "key_id": 1, "format": "csv"}
        session.execute(insert(UsageImport).values(**values).on_conflict_do_nothing())
        session.commit()
    return "norths-file"


def live_key_of(session: Session, licensee: str) -> str:
    """The public id of the newest live key of a licensee."""
    asked = select(MeterKey.public_id).join(Licensee, Licensee.id == MeterKey.licensee_id)
    live = asked.where(Licensee.slug == licensee, MeterKey.revoked_at.is_(None))
    return session.scalars(live.order_by(MeterKey.id.desc()).limit(1)).one()


def _north(session: Session) -> int:
    return session.scalars(select(Licensee.id).filter_by(slug="north")).one()


PORTAL_SAMPLES: dict[str | tuple[str, str], Sample] = {
    "licensor": lambda _dashboard: "guild",
    "line": lambda _dashboard: "1",
    "event_id": lambda dashboard: dashboard.houses["guild"].names["event_id"],
    "report_id": a_report,
    "import_id": a_file,
    "meter_key": a_key,
}
