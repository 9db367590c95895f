"""What a run would do, agreement by agreement, without doing it: the dry run."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.invoicing.drafts.close import agreements_to_close, preview
from core.invoicing.drafts.invoice import DraftLine
from core.invoicing.drafts.tax import tax_groups
from core.invoicing.life.stands import name_of
from core.invoicing.runs.run import agreements_of
from core.invoicing.tables import Invoice
from core.money import Money
from core.period import Period
from core.registry.tables import Account, Licensee, Licensor


@dataclass(frozen=True, slots=True)
class Previewed:
    """One agreement: what stands for the period now, and what would after a close. An issued invoice would stay."""

    agreement_id: int
    agreement: str
    licensor: str
    licensee: str
    stands: str | None
    status: str | None
    before: Money
    after: Money
    lines: tuple[DraftLine, ...]


def preview_run(
    session: Session, period: Period, licensor_id: int | None = None, *, after: int = 0, limit: int | None = None
) -> list[Previewed]:
    """A page of a licensor's agreements, or of all, by id, that begins after the id `after`. Roll up first. Nothing is
    written.
    """
    ids = [id_ for id_ in agreements_of(session, agreements_to_close(session, period), licensor_id) if id_ > after]
    return [_previewed(session, id_, period) for id_ in ids[:limit]]


def _previewed(session: Session, agreement_id: int, period: Period) -> Previewed:
    agreement = session.get_one(Agreement, agreement_id)
    account = session.get_one(Account, agreement.account_id)
    standing = session.scalars(
        select(Invoice).where(
            Invoice.agreement_id == agreement_id,
            Invoice.period_start == period.start,
            Invoice.corrects_invoice_id.is_(None),
            Invoice.status != "void",
        )
    ).one_or_none()
    before = Money(account.currency, standing.total_minor if standing else 0)
    issued = standing is not None and standing.status == "issued"
    lines = [] if issued else preview(session, agreement_id, period)
    return Previewed(
        agreement_id=agreement_id,
        agreement=agreement.slug,
        licensor=session.get_one(Licensor, account.licensor_id).slug,
        licensee=session.get_one(Licensee, account.licensee_id).slug,
        stands=name_of(standing) if standing else None,
        status=standing.status if standing else None,
        before=before,
        after=before if issued else total_of(lines, account.currency),
        lines=tuple(lines),
    )


def total_of(lines: Sequence[DraftLine], currency: str) -> Money:
    """What an invoice of these lines asks for, with the tax as `draft.py` works it out."""
    tax = sum(group.tax_minor for group in tax_groups((line.tax, line.money.minor) for line in lines))
    return Money(currency, sum(line.money.minor for line in lines) + tax)
