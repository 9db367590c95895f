"""The menu of either side: where things are, which letter leads there after `g`, and where one is now."""

from dataclasses import dataclass

from core.actors import Role
from service.dashboard.signed_in import Person


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the menu. `least`: the finance role that it takes to see it."""

    name: str
    address: str
    icon: str
    key: str
    group: str = ""
    least: Role = "viewer"


FINANCE = (
    Place("Overview", "/overview", "overview", "o"),
    Place("Licensees", "/licensees", "licensees", "l"),
    Place("Models", "/models", "models", "d"),
    Place("Month end", "/month-end", "month", "m", "Billing"),
    Place("Invoices", "/invoices", "invoice", "i", "Billing"),
    Place("Payments", "/payments", "payments", "p", "Billing"),
    Place("Scenario", "/scenario", "scenario", "s", "Billing"),
    Place("Audit log", "/audit", "audit", "a", "House"),
    Place("Settings", "/settings", "settings", "e", "House"),
)
PORTAL = (
    Place("Overview", "/portal", "overview", "o"),
    Place("Usage", "/portal/usage", "models", "u"),
    Place("Agreements", "/portal/agreements", "agreement", "g"),
    Place("Statements", "/portal/statements", "statement", "t"),
    Place("Invoices", "/portal/invoices", "invoice", "i"),
    Place("Scenario", "/portal/scenario", "scenario", "s"),
    Place("Reporting", "/portal/reporting", "upload", "r", "House"),
    Place("Settings", "/portal/settings", "settings", "e", "House"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A place, and whether one is there."""

    place: Place
    here: bool


def menu_of(person: Person | None, path: str) -> list[tuple[str, list[Entry]]]:
    """The places this person may go to, in groups."""
    if person is None:
        return []
    places = FINANCE if person.side == "finance" else PORTAL
    groups: dict[str, list[Entry]] = {}
    for place in places:
        if person.side == "portal" or person.may(place.least):
            groups.setdefault(place.group, []).append(Entry(place, _here(place.address, path)))
    return list(groups.items())


def _here(address: str, path: str) -> bool:
    if address in ("/", "/portal"):
        return path == address
    return path == address or path.startswith(f"{address}/")
