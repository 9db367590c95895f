"""The list of a licensor's licensees with what each made, is to pay and owes, to be searched, sorted and paged.

`LICENSEES` is one statement without order or limit, for the licensor's eyes: it names no licensor, since the database
shows one's own rows and no others. Use it with no other eyes. Figures are of the running month in UTC, amounts in minor
units of the account's currency.
"""

from typing import Any

from sqlalchemy import BigInteger, Cast, Date, case, cast, func, select

from core.accruals.tables import Accrual
from core.invoicing.tables import Invoice
from core.ledger.tables import Outstanding
from core.registry.lineage import OWED_BY_DEFAULT
from core.registry.tables import Account, Licensee
from core.usage.tables import LicenseeMonth

TODAY = cast(func.timezone("UTC", func.now()), Date)
THIS_MONTH = cast(func.date_trunc("month", func.timezone("UTC", func.now())), Date)


def _sum(column: Any) -> Cast[int]:
    return cast(func.sum(column), BigInteger)


_made = (
    select(LicenseeMonth.licensee_id, _sum(LicenseeMonth.image_count).label("images"))
    .where(LicenseeMonth.month == THIS_MONTH, LicenseeMonth.role.in_(OWED_BY_DEFAULT))
    .group_by(LicenseeMonth.licensee_id)
    .subquery("made")
)
_accrued = (
    select(
        Accrual.licensee_id,
        _sum(Accrual.accrued_minor).label("accrued"),
        _sum(Accrual.forecast_minor).label("forecast"),
        _sum(Accrual.shortfall_minor).label("shortfall"),
        func.count().label("agreements"),
        func.max(Accrual.last_counted_on).label("last_counted_on"),
        func.min(Accrual.silent_since).label("silent_since"),
    )
    .where(Accrual.period_start == THIS_MONTH)
    .group_by(Accrual.licensee_id)
    .subquery("accrued")
)
_open = (
    select(
        Outstanding.licensee_id,
        _sum(Outstanding.amount_minor).label("open"),
        _sum(case((Invoice.due_on < TODAY, Outstanding.amount_minor), else_=0)).label("overdue"),
    )
    .outerjoin(
        Invoice,
        (Invoice.licensor_id == Outstanding.licensor_id)
        & (Invoice.number == Outstanding.item)
        & (Invoice.status == "issued"),
    )
    .where(Outstanding.book == "receivable")
    .group_by(Outstanding.licensee_id)
    .subquery("owing")
)

IMAGES = func.coalesce(_made.c.images, 0)
ACCRUED = func.coalesce(_accrued.c.accrued, 0)
FORECAST = func.coalesce(_accrued.c.forecast, 0)
SHORTFALL = func.coalesce(_accrued.c.shortfall, 0)
OPEN = func.coalesce(_open.c.open, 0)
OVERDUE = func.coalesce(_open.c.overdue, 0)
LAST_COUNTED_ON = _accrued.c.last_counted_on
SILENT_SINCE = _accrued.c.silent_since

LICENSEES = (
    select(
        Licensee.id.label("licensee_id"),
        Licensee.slug.label("slug"),
        Licensee.name.label("name"),
        Account.currency.label("currency"),
        Account.zone.label("zone"),
        func.coalesce(_accrued.c.agreements, 0).label("agreements"),
        IMAGES.label("images"),
        ACCRUED.label("accrued_minor"),
        FORECAST.label("forecast_minor"),
        SHORTFALL.label("shortfall_minor"),
        OPEN.label("open_minor"),
        OVERDUE.label("overdue_minor"),
        LAST_COUNTED_ON.label("last_counted_on"),
        SILENT_SINCE.label("silent_since"),
    )
    .join(Account, Account.licensee_id == Licensee.id)
    .outerjoin(_made, _made.c.licensee_id == Licensee.id)
    .outerjoin(_accrued, _accrued.c.licensee_id == Licensee.id)
    .outerjoin(_open, _open.c.licensee_id == Licensee.id)
)
