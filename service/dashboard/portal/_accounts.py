"""Which licensor a page of the portal is about: a licensee has an account with each, and looks at one at a time."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from urllib.parse import urlencode

from fastapi import Request
from sqlalchemy.orm import Session

from core.errors import InvalidInput, NotFound
from core.period import Period
from core.registry.queries import accounts_of
from core.registry.tables import Account, Licensor
from service.dashboard.signed_in import LicenseePerson


@dataclass(frozen=True, slots=True)
class With:
    """The account that a page is about, and the others to choose from as tabs."""

    account: Account
    licensor: Licensor
    tabs: list[tuple[str, str, bool]]

    @property
    def slug(self) -> str:
        return self.licensor.slug

    @property
    def currency(self) -> str:
        return self.account.currency


def account_asked(request: Request, eyes: Session, person: LicenseePerson) -> With | None:
    """The account with the licensor that the address names, else the first; None while there is none."""
    found = accounts_of(eyes, person.licensee_id)
    if not found:
        return None
    asked = request.query_params.get("licensor", "")
    account, licensor = next((each for each in found if each[1].slug == asked), found[0])
    kept = [pair for pair in request.query_params.multi_items() if pair[0] in ("month", "by")]
    tabs = [
        (each.name, f"{request.url.path}?{urlencode([('licensor', each.slug), *kept])}", each.id == licensor.id)
        for _, each in found
    ]
    return With(account, licensor, tabs if len(tabs) > 1 else [])


def account_with(eyes: Session, person: LicenseePerson, licensor: str) -> With:
    """The account with this licensor. Raises NotFound."""
    for account, each in accounts_of(eyes, person.licensee_id):
        if each.slug == licensor:
            return With(account, each, [])
    raise NotFound("unknown_account", f"you have no account with {licensor}")


def moment_now() -> datetime:
    return datetime.now(UTC)


def today() -> date:
    return moment_now().date()


def month_asked(request: Request) -> Period:
    """The month that the address names, else the running one."""
    try:
        return Period.month(request.query_params.get("month", ""))
    except InvalidInput:
        return Period.month_of(today())
