"""What a run would do, agreement by agreement, without doing it: the dry run."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement
from core.database import among
from core.invoicing.drafts.close import agreements_to_close, preview_many
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
    return _previewed(session, ids[:limit], period)


def _previewed(session: Session, ids: Sequence[int], period: Period) -> list[Previewed]:
    """As many statements for many agreements as for one."""
    lines = preview_many(session, ids, period)
    standing = {
        invoice.agreement_id: invoice
        for invoice in session.scalars(
            select(Invoice).where(
                among(Invoice.agreement_id, ids),
                Invoice.period_start == period.start,
                Invoice.corrects_invoice_id.is_(None),
                Invoice.status != "void",
            )
        )
    }
    parties = session.execute(
        select(Agreement.id, Agreement.slug, Account.currency, Licensor.slug, Licensee.slug)
        .join(Account, Account.id == Agreement.account_id)
        .join(Licensor, Licensor.id == Account.licensor_id)
        .join(Licensee, Licensee.id == Account.licensee_id)
        .where(among(Agreement.id, ids))
        .order_by(Agreement.id)
    )
    found = []
    for id_, agreement, currency, licensor, licensee in parties:
        stands = standing.get(id_)
        before = Money(currency, stands.total_minor if stands else 0)
        issued = stands is not None and stands.status == "issued"
        found.append(
            Previewed(
                agreement_id=id_,
                agreement=agreement,
                licensor=licensor,
                licensee=licensee,
                stands=name_of(stands) if stands else None,
                status=stands.status if stands else None,
                before=before,
                after=before if issued else total_of(lines[id_], currency),
                lines=tuple(lines[id_]),
            )
        )
    return found


def total_of(lines: Sequence[DraftLine], currency: str) -> Money:
    """What an invoice of these lines asks for, with the tax as `draft.py` works it out."""
    tax = sum(group.tax_minor for group in tax_groups((line.tax, line.money.minor) for line in lines))
    return Money(currency, sum(line.money.minor for line in lines) + tax)
