"""An agreed dispute becomes corrections: the events behind the disputed line are amended until they come to what both
sides agreed on, newest first, each naming the dispute. A line without events gets one, made for the dispute.

What the corrections come to in money is for the next close to say: a credit or a debit, as for any correction.
"""

from datetime import datetime, timedelta

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from core.errors import Conflict, InvalidInput
from core.period import Period
from core.registry.lineage import OWED_BY_DEFAULT
from core.registry.tables import Account
from core.statements.attest import MAX_IMAGES, settled_at
from core.statements.tables import Dispute, Settlement
from core.usage.corrections.correct import correct
from core.usage.corrections.correction import Order
from core.usage.counts.recount import RESOLUTION
from core.usage.tables import MAX_IMAGE_COUNT, REPORT_NUMBERS, UsageEvent

# The events of the line as they count now, the newest first.
_EVENTS = text(f"""
SELECT e.event_id, (e.image_count + COALESCE(c.image_delta, 0))::bigint AS image_count
FROM usage_events e {RESOLUTION}
CROSS JOIN LATERAL unnest(r.model_ids, r.roles) AS owing (model_id, role)
JOIN models m ON m.id = owing.model_id AND m.slug = :model
LEFT JOIN (
    SELECT event_id, sum(image_delta)::bigint AS image_delta FROM usage_corrections
    WHERE licensee_id = :licensee_id GROUP BY 1
) c USING (event_id)
WHERE e.licensee_id = :licensee_id AND e.occurred_at >= :starts_at AND e.occurred_at < :ends_at
  AND (CAST(:plan AS text) IS NULL OR e.plan = :plan) AND owing.role = ANY (CAST(:roles AS text[]))
ORDER BY e.received_at DESC, e.event_id DESC
""")  # noqa: S608 - our own words


def agree(session: Session, found: Dispute, agreed: int, *, reason: str, actor: str) -> tuple[Settlement, int]:
    """Settles a dispute at `agreed` images; the settlement, and by how many images the events were corrected.

    Call it before anything else is written in the transaction (`core/usage/corrections/correct.py`). Counted from what
    the events count now: where they were corrected since the statement, only the rest is.
    """
    if not 0 <= agreed <= MAX_IMAGES:
        raise InvalidInput("invalid_image_count", "say how many images both sides agreed on: a whole number from 0 on")
    account = session.scalars(
        select(Account).filter_by(licensee_id=found.licensee_id, licensor_id=found.licensor_id)
    ).one()
    starts_at, ends_at = Period(found.day, found.day + timedelta(days=1)).bounds(account.zone)
    asked = {"licensee_id": found.licensee_id, "model": found.model, "plan": found.plan, "roles": list(OWED_BY_DEFAULT)}
    events = session.execute(_EVENTS, {**asked, "starts_at": starts_at, "ends_at": ends_at}).all()
    delta = agreed - sum(event.image_count for event in events)
    if delta > 0 and not events:
        _report_for(session, found, starts_at, agreed)
    elif delta:
        _correct(
            session, found, [(event.event_id, event.image_count) for event in events], delta, reason=reason, actor=actor
        )
    return settled_at(session, found, agreed, reason=reason, actor=actor), delta


def _correct(
    session: Session, found: Dispute, events: list[tuple[str, int]], delta: int, *, reason: str, actor: str
) -> None:
    """Takes `delta` images from the events, or gives them to the newest ones that have room."""
    orders: list[Order] = []
    left = delta
    for event_id, count in events:
        after = min(max(count + left, 0), MAX_IMAGE_COUNT)
        if after != count:
            left -= after - count
            orders.append(
                Order(
                    correction_id=f"dispute:{found.dispute_id}:{len(orders) + 1}",
                    event_id=event_id,
                    kind="amend",
                    reason=reason,
                    reference=f"dispute {found.dispute_id} of statement {found.number}",
                    image_count=after,
                )
            )
        if not left:
            break
    answers = correct(session, found.licensee_id, orders, actor)
    refused = [answer for answer in answers if answer.status != "accepted"]
    if left or refused:
        said = refused[0].message if refused else "the events of that line have no room for so many images"
        raise Conflict("not_corrected", f"dispute {found.dispute_id} cannot be settled at that number: {said}")


def _report_for(session: Session, found: Dispute, occurred_at: datetime, image_count: int) -> None:
    """An event for a line of which nothing was reported, at the first instant of its day."""
    if image_count > MAX_IMAGE_COUNT:
        raise Conflict("too_many_images", f"one event counts at most {MAX_IMAGE_COUNT:,} images: report them instead")
    session.execute(
        insert(UsageEvent).values(
            licensee_id=found.licensee_id,
            event_id=f"dispute:{found.dispute_id}",
            model=found.model,
            image_count=image_count,
            occurred_at=occurred_at,
            adapters=[],
            plan=found.plan or "",
            report_no=REPORT_NUMBERS.next_value(),
        )
    )
