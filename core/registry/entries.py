"""What may be entered into the registry, as values.

Two entries are equal when they say the same. A contact detail of None says nothing: it is left as it stands.
"""

from dataclasses import dataclass

from core.registry.billing import Billing
from core.registry.brand import Brand
from core.registry.lineage import Owes


@dataclass(frozen=True, slots=True)
class Contact:
    """What an invoice prints of a party. It may change at any time; issued invoices keep what they were issued with."""

    name: str
    address: tuple[str, ...] | None = None
    email: str | None = None
    tax_id: str | None = None

    def said(self) -> dict[str, str | list[str]]:
        """The columns that this contact says something about."""
        columns: dict[str, str | list[str] | None] = {
            "name": self.name,
            "address": None if self.address is None else list(self.address),
            "email": self.email,
            "tax_id": self.tax_id,
        }
        return {column: value for column, value in columns.items() if value is not None}


@dataclass(frozen=True, slots=True)
class LicensorEntry:
    """A licensor. The prefix opens the numbers of its invoices and never changes. None of the rest says nothing."""

    slug: str
    contact: Contact
    invoice_prefix: str
    second_person_above_minor: int | None = None
    brand: Brand | None = None


@dataclass(frozen=True, slots=True)
class LicenseeEntry:
    """A licensee."""

    slug: str
    contact: Contact


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """The account of a licensor with a licensee, by their slugs; zone and currency for good.

    `billing` and the limit above which two people are needed may change; None of either says nothing about it.
    """

    licensor: str
    licensee: str
    currency: str
    zone: str = "UTC"
    billing: Billing | None = None
    second_person_above_minor: int | None = None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model: its licensor and bases by slug, and the names besides the slug by which platforms report it."""

    slug: str
    name: str
    licensor: str
    kind: str = "checkpoint"
    owes: Owes = "own"
    bases: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
