"""The addresses below /licensees, and what every page of one licensee begins with."""

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import NotFound
from core.registry.tables import Account, Licensee
from service.dashboard.door import page_router
from service.dashboard.rendering import page
from service.dashboard.signed_in import FinancePerson

router = page_router("/licensees")
TABS = (
    ("Overview", ""),
    ("Usage", "/usage"),
    ("Agreements", "/agreements"),
    ("Statements", "/statements"),
    ("Keys", "/keys"),
    ("Contact", "/contact"),
)


@dataclass(frozen=True, slots=True)
class Whose:
    """A licensee and its account with the licensor who looks."""

    id: int
    slug: str
    name: str
    account_id: int
    currency: str
    zone: str
    licensee: Licensee
    account: Account


def licensee_of(eyes: Session, person: FinancePerson, slug: str) -> Whose:
    """The licensee by its slug. Raises NotFound for one with whom the licensor has no account."""
    asked = (
        select(Licensee, Account)
        .join(Account, Account.licensee_id == Licensee.id)
        .where(Licensee.slug == slug.replace("\x00", ""), Account.licensor_id == person.licensor_id)
    )
    found = eyes.execute(asked).one_or_none()
    if found is None:
        raise NotFound("unknown_licensee", f"you have no account with a licensee called {slug}")
    licensee, account = found
    return Whose(
        licensee.id, licensee.slug, licensee.name, account.id, account.currency, account.zone, licensee, account
    )


def tabs_of(slug: str, here: str) -> list[tuple[str, str, bool]]:
    """The pages of one licensee, for `ui.tabs`."""
    own = [(name, f"/licensees/{slug}{end}", name == here) for name, end in TABS]
    return [*own, ("Invoices", f"/invoices?licensee={slug}", False)]


def licensee_page(request: Request, template: str, whose: Whose, here: str, **values: Any) -> Response:
    """A page of one licensee."""
    tabs = tabs_of(whose.slug, here)
    return page(request, f"licensees/{template}", title=whose.name, whose=whose, here=here, tabs=tabs, **values)
