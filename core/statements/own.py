"""A licensee's statements with where each stands, to be searched, sorted and paged.

`OWN_STATEMENTS` is one statement without order or limit, for a licensee's eyes. Where a statement stands is worked out
as `core/statements/statement.py: standing` does it for one.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, case, cast, exists, func, select
from sqlalchemy.orm import Session, aliased

from core.registry.tables import Licensor
from core.statements.queries import SETTLES
from core.statements.tables import Certification, Dispute, Statement

STANDINGS = ("open", "disputed", "settled", "certified", "replaced")
_newer = aliased(Statement)
_theirs = (
    (Dispute.licensee_id == Statement.licensee_id)
    & (Dispute.licensor_id == Statement.licensor_id)
    & (Dispute.number == Statement.number)
)
_ended = exists().where(SETTLES)
_certified = exists().where(
    Certification.licensee_id == Statement.licensee_id,
    Certification.licensor_id == Statement.licensor_id,
    Certification.number == Statement.number,
)
_replaced = exists().where(
    _newer.licensee_id == Statement.licensee_id,
    _newer.licensor_id == Statement.licensor_id,
    _newer.period_start == Statement.period_start,
    _newer.period_end == Statement.period_end,
    _newer.revision > Statement.revision,
)
OPEN_DISPUTES = select(func.count()).select_from(Dispute).where(_theirs, ~_ended).scalar_subquery()
STANDING = case(
    (exists().where(_theirs, ~_ended), "disputed"),
    (_replaced, "replaced"),
    (_certified, "certified"),
    (exists().where(_theirs), "settled"),
    else_="open",
)
_content = cast(func.convert_from(Statement.content, "UTF8"), JSON)
_images = cast(func.json_extract_path_text(_content, "events", "image_count"), BigInteger)
OWN_STATEMENTS = select(
    Statement.number,
    Licensor.slug.label("licensor"),
    Licensor.name.label("licensor_name"),
    Statement.period_start,
    Statement.period_end,
    Statement.revision,
    Statement.made_at,
    Statement.hash,
    _images.label("images"),
    OPEN_DISPUTES.label("open_disputes"),
    STANDING.label("standing"),
).join(Licensor, Licensor.id == Statement.licensor_id)


def to_certify(session: Session, licensor_id: int) -> list[Any]:
    """The statements of a licensor's that wait for a word, the newest first: number, month. One statement."""
    asked = select(Statement.number, Statement.period_start).where(
        Statement.licensor_id == licensor_id, STANDING.in_(("open", "settled"))
    )
    return list(session.execute(asked.order_by(Statement.number.desc()).limit(24)))
