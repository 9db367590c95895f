"""How it stands with the gateway, for people who want to know whether everything is well there."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.payments.tables import (
    GatewayCustomer,
    GatewayDifference,
    GatewayPause,
    GatewayReconciliation,
    GatewayStep,
)


@dataclass(frozen=True, slots=True)
class GatewayStanding:
    """`stopped` steps wait for a person; `compared_at` is when everything was last compared with the gateway."""

    accounts: int
    waiting: int
    stopped: int
    differences: int
    paused: bool
    paused_at: datetime | None
    compared_at: datetime | None


def gateway_standing(session: Session) -> GatewayStanding:
    """Through a licensor's eyes: of its accounts and invoices. Two statements."""

    def steps(state: str) -> object:
        return select(func.count()).select_from(GatewayStep).where(GatewayStep.state == state).scalar_subquery()

    customers = select(func.count()).select_from(GatewayCustomer).where(GatewayCustomer.active).scalar_subquery()
    open_ones = select(func.count()).select_from(GatewayDifference).where(GatewayDifference.resolved_at.is_(None))
    compared = select(func.max(GatewayReconciliation.finished_at)).scalar_subquery()
    numbers = select(customers, steps("waiting"), steps("stopped"), open_ones.scalar_subquery(), compared)  # type: ignore[call-overload]
    accounts, waiting, stopped, differences, compared_at = session.execute(numbers).one()
    last = session.execute(
        select(GatewayPause.paused, GatewayPause.changed_at).order_by(GatewayPause.id.desc()).limit(1)
    ).one_or_none()
    paused = bool(last and last.paused)
    return GatewayStanding(
        accounts, waiting, stopped, differences, paused, last.changed_at if last and paused else None, compared_at
    )
