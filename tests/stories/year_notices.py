"""Notices in a year of stories: found again and again, sent to receivers that fail, and counted where they arrive."""

import random
from collections import defaultdict
from datetime import timedelta

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.notices.deliver import Outcome, claim, record
from core.notices.endpoints import add_endpoint
from core.notices.tables import Delivery, Notice
from core.notices.watch import watch, watch_days
from core.registry.tables import Licensor

LEASE = timedelta(minutes=5)
FATES = ("arrives",) * 7 + ("refused", "answer lost")


class Notices:
    """Everybody who is told of anything, and what arrived there."""

    def __init__(self, engine: Engine, dice: random.Random) -> None:
        self.engine, self.dice = engine, dice
        self.arrived: defaultdict[tuple[str, str], set[str]] = defaultdict(
            set
        )  # by target: ids, as receivers keep them
        with Session(engine) as session:
            for licensor in session.scalars(select(Licensor)).all():
                add_endpoint(session, Actor("Ada", "admin"), licensor.id, f"https://{licensor.slug}.example/hooks")
            session.commit()

    def find(self, *, again: bool) -> None:
        """A sweep, and another one after it, which has nothing new to tell."""
        with Session(self.engine) as session:
            while watch(session, mail=True).more:
                session.commit()
            watch_days(session, mail=True)
            session.commit()
        if again:
            with Session(self.engine) as session:
                twice = watch(session, mail=True).told + watch_days(session, mail=True).told
                session.commit()
            assert twice == 0, f"{twice} notices were told twice"

    def deliver(self) -> None:
        """Every delivery that may be tried now, as receivers are: most take it, some only say so, some do not."""
        while True:
            with Session(self.engine) as session:
                parcel = claim(session, LEASE)
                session.commit()
            if parcel is None:
                return
            fate = self.dice.choice(FATES)
            if fate != "refused":
                self.arrived[parcel.url, parcel.address].add(parcel.message_id)
            failed = fate in ("refused", "answer lost")
            with Session(self.engine) as session:
                record(session, parcel, Outcome("failed", "no answer") if failed else Outcome("delivered", status=200))
                session.commit()

    def told(self, kind: str) -> list[str]:
        """The keys of all notices of a kind."""
        with Session(self.engine) as session:
            return list(session.scalars(select(Notice.key).where(Notice.kind == kind).order_by(Notice.key)))

    def check(self) -> None:
        """Each delivery that was made has arrived, as one message, and nothing else has."""
        with Session(self.engine) as session:
            rows = session.execute(
                select(Notice.message_id, Delivery.state, Delivery.endpoint_id, Delivery.address).join(
                    Delivery, Delivery.notice_id == Notice.id
                )
            ).all()
        assert {state for _, state, _, _ in rows} <= {"delivered", "waiting"}
        delivered = [(id_, endpoint, address) for id_, state, endpoint, address in rows if state == "delivered"]
        assert len(set(delivered)) == len(delivered)
        arrived = {id_ for ids in self.arrived.values() for id_ in ids}
        assert {id_ for id_, _, _ in delivered} <= arrived <= {id_ for id_, *_ in rows}
