"""What every chapter of the demo's world is given: the calendar, the clock, a session, and a door for usage."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
from sqlalchemy import String, func, select
from sqlalchemy.orm import Session

from core.actors import Actor, LicenseeActor
from core.agreements.queries import coverage
from core.errors import Conflict, Unavailable
from core.registry.keys import parse_key
from core.registry.queries import lineage, meter_key
from core.registry.register import ids
from core.registry.tables import Licensee, Licensor
from core.signatures import Signer
from core.usage.counts.rollup import roll_up
from core.usage.intake.intake import Intake, Submission
from core.usage.intake.packing import pack_report
from core.usage.intake.receipt import Receipt
from core.usage.intake.report import Window, read_report
from core.usage.tables import RollupWatermark
from service.catalogue import Snapshot
from service.cli.demo.cast import FINANCE, LICENSOR, MANAGERS
from service.cli.demo.clock import PastClock
from service.cli.demo.plan import Plan
from service.cli.demo.traffic import BATCH, Event

PATIENCE = 30.0  # seconds until something that is under way elsewhere is no longer waited for
FAR_BACK = 3660  # days; what the demo's keys may report


@dataclass
class Scene:
    """The world while it is made. `at` says when; everything after it happens then."""

    plan: Plan
    clock: PastClock
    signer: Signer
    password: str
    keys: dict[str, str] = field(default_factory=dict)
    now: datetime | None = None
    _snapshot: Snapshot | None = None
    _intake: Intake | None = None
    _key_ids: dict[str, tuple[int, int]] = field(default_factory=dict)

    def at(self, moment: datetime | None) -> None:
        """From now on it is this moment; None is the true present."""
        self.now = moment
        self.clock.set(moment)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that is committed when all went well: one act each, as a door does it."""
        with Session(self.clock.engine) as session:
            yield session
            session.commit()

    def licensor_id(self, session: Session) -> int:
        return ids(session, Licensor, {LICENSOR})[LICENSOR]

    def licensee_id(self, session: Session, licensee: str) -> int:
        return ids(session, Licensee, {licensee})[licensee]

    def report(self, licensee: str, report_id: str, events: Sequence[Event], sequence: int | None = None) -> Receipt:
        """A usage report as the service takes it in: read, judged, kept, answered."""
        body = msgspec.json.encode(
            {"report_id": report_id, "source": "meter", "events": list(events)}
            | ({} if sequence is None else {"sequence": sequence})
        )
        licensee_id, key_id = self._caller(licensee)
        intake, snapshot = self._door()
        [report_no] = intake.numbers(1)
        report = read_report(body, Window.at(self.now or datetime.now(UTC), FAR_BACK, 5))
        rows = pack_report(report, licensee_id, report_no)
        holds = snapshot.holds(licensee_id, report)
        [answer] = intake.write(
            [Submission(licensee_id, key_id, report, sha256(body).digest(), report_no, rows, holds)]
        )
        if not isinstance(answer, Receipt):
            raise answer
        if answer.verdict.counts.rejected or answer.verdict.counts.conflict:
            raise Conflict("demo_refused", f"report {report_id} was not taken whole: {answer.verdict.counts}")
        return answer

    def report_all(self, licensee: str, name: str, events: Sequence[Event], first: int | None = None) -> int:
        """Reports of at most 1,000 events, numbered from `first` on where it is given; the number after the last."""
        number = first or 0
        for at in range(0, len(events), BATCH):
            report_id = f"{licensee}-{name}-{at // BATCH:02d}"
            self.report(licensee, report_id, events[at : at + BATCH], None if first is None else number)
            number += 1
        return number

    def count(self) -> None:
        """Rolls up whatever was reported, also beside a worker that has just begun to do so."""
        until = time.monotonic() + PATIENCE
        with self.session() as session:
            newest = session.scalar(select(func.pg_snapshot_xmax(func.pg_current_snapshot()).cast(String)))
        while True:
            with self.session() as session:
                roll_up(session)
                counted = session.scalar(select(RollupWatermark.xid).where(RollupWatermark.name == "usage"))
            if int(counted or 0) >= int(newest or 0):
                return
            if time.monotonic() > until:
                raise Unavailable("busy", "something in this database has been under way for long: try again later")
            time.sleep(0.02)

    def key_id(self, licensee: str) -> int:
        """The id of a licensee's meter key."""
        return self._caller(licensee)[1]

    def _door(self) -> tuple[Intake, Snapshot]:
        if self._intake is None:
            self._intake = Intake(self.clock.intake)
        if self._snapshot is None:
            with self.session() as session:
                self._snapshot = Snapshot(lineage(session), coverage(session))
        return self._intake, self._snapshot

    def _caller(self, licensee: str) -> tuple[int, int]:
        if licensee not in self._key_ids:
            with self.session() as session:
                parsed = parse_key(self.keys[licensee])
                key = meter_key(session, parsed[0]) if parsed else None
                if key is None:
                    raise Conflict("demo_key", f"the demo has lost its meter key of {licensee}")
                self._key_ids[licensee] = key.licensee_id, key.id
        return self._key_ids[licensee]


def finance(name: str) -> Actor:
    """One of the licensor's people as somebody who acts."""
    email, _, role = FINANCE[name]
    return Actor(email, role)  # type: ignore[arg-type]


def manager(licensee: str) -> LicenseeActor:
    """The licensee's manager as somebody who acts."""
    return LicenseeActor(MANAGERS[licensee][0], "manager")
