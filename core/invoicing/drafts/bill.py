"""What a bill is made from: an agreement with its account, its contract as rating sees it, and its daily counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.orm import Session

from core.agreements.clauses import Terms
from core.agreements.queries import agreement_versions, promised, versions_of
from core.agreements.tables import Agreement
from core.errors import NotFound, PerimageError
from core.period import Period
from core.rating.estimate import Estimates
from core.rating.rate import Contract
from core.registry.tables import Account
from core.usage.counts.counting import Cell, Timetable, count_images
from core.usage.counts.queries import cells_of, cells_of_agreements


@dataclass(frozen=True, slots=True)
class Bill:
    """An agreement as rating and invoicing need it, loaded once.

    `versions` are the terms as signed and `cells` the counts before the terms judge them; None where nobody read them.
    `estimates` are what of `counts` was assumed (`estimates.py`); None where nothing was asked or no rule says so.
    """

    agreement: Agreement
    account: Account
    contract: Contract
    counts: dict[tuple[str, date], int]
    versions: Sequence[tuple[date, Terms]] | None = None
    cells: Sequence[Cell] | None = None
    estimates: Estimates | None = None


def load_bill(session: Session, agreement: Agreement, until: date) -> Bill:
    """The contract and the daily counts of its models, from its first day to `until`."""
    account = session.get_one(Account, agreement.account_id)
    found = load_bills(session, [(agreement, account)], until)[agreement.id]
    if isinstance(found, PerimageError):
        raise found
    return found


def load_bills(
    session: Session, agreements: Iterable[tuple[Agreement, Account]], until: date
) -> dict[int, Bill | PerimageError]:
    """The same for many agreements with their accounts, by the agreement's id: as many reads as for one. What cannot be
    billed stands there with its refusal, so that it is in nobody else's way.
    """
    pairs = {agreement.id: (agreement, account) for agreement, account in agreements}
    versions = versions_of(session, pairs)
    cells = cells_of_agreements(session, pairs, end=until)
    found: dict[int, Bill | PerimageError] = {}
    for id_, (agreement, account) in pairs.items():
        try:
            found[id_] = _bill(session, agreement, account, versions[id_], cells[id_])
        except PerimageError as refusal:
            found[id_] = refusal
    return found


def contract_of(session: Session, agreement: Agreement) -> Contract:
    """The agreement's term, every version of its terms in the order in which they were signed, and its early end."""
    return _contract(session, agreement, agreement_versions(session, agreement.id))


def _bill(
    session: Session,
    agreement: Agreement,
    account: Account,
    versions: Sequence[tuple[date, Terms]],
    cells: Sequence[Cell],
) -> Bill:
    if not versions:
        raise NotFound("unknown_agreement", f"there are no terms of the agreement with the id {agreement.id}")
    contract = _contract(session, agreement, versions)
    return Bill(agreement, account, contract, count_images(cells, Timetable(versions)), versions, cells)


def _contract(session: Session, agreement: Agreement, versions: Sequence[tuple[date, Terms]]) -> Contract:
    term = Period(agreement.starts_on, agreement.ends_on)
    return Contract(term=term, versions=promised(session, agreement.id, versions), ended_on=agreement.ended_on)


def counts_of(session: Session, agreement: Agreement, account: Account, until: date) -> dict[tuple[str, date], int]:
    """Images by (model slug, day) of the models that the agreement covers, on the days on which it covers them.

    What is an image, and which models owe one through an adapter, is what the terms in force on the day say
    (`core/usage/counts/counting.py`), so an amendment changes it without counting anything anew.
    """
    terms_on = Timetable(agreement_versions(session, agreement.id))
    return count_images(cells_of(session, account.licensee_id, agreement.id, end=until), terms_on)
