"""Terms and the clauses they are made of: prices, caps, commitments, conversions, definitions.

Plain values, checked where they are read (`core/agreements/terms.py`).
"""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Tier:
    """Images up to and including number `up_to` of the month (None: all the rest) at `rate` units each."""

    up_to: int | None
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Schedule:
    """How images turn into an amount of the unit.

    `flat` has one tier without end, or none while its price band is not settled; `package` has one tier whose rate is
    the price of a package of `size` images; `zero` has none.
    """

    kind: str
    tiers: tuple[Tier, ...] = ()
    band: tuple[Decimal, Decimal] | None = None
    size: int = 1

    @property
    def settled(self) -> bool:
        """False for a price band without an agreed price: it can be quoted, not rated or signed."""
        return self.kind == "zero" or bool(self.tiers)

    @property
    def flat_rate(self) -> Decimal | None:
        """The price per image of a settled flat schedule; None for every other."""
        return self.tiers[0].rate if self.kind == "flat" and self.tiers else None

    @property
    def price(self) -> tuple[str, tuple[Tier, ...], int]:
        """What decides the amount: two schedules with equal prices make one price segment."""
        return self.kind, self.tiers, self.size


@dataclass(frozen=True, slots=True)
class Cap:
    """Images a month that the licence allows: above a soft cap usage is flagged, above a hard one refused at intake."""

    images: int
    kind: str


@dataclass(frozen=True, slots=True)
class Fee:
    """The price of some models. `per` says whether each model or the group as a whole has tiers, base fee and cap.

    A fee without models is a monthly fee for the agreement as a whole.
    """

    name: str
    models: tuple[str, ...]
    per: str
    schedule: Schedule
    included_images: int = 0
    base_fee: Decimal | None = None
    cap: Cap | None = None


@dataclass(frozen=True, slots=True)
class Rollover:
    """How much of a commitment period goes on to the next ones, as fractions, and for how many periods it lasts."""

    unused: Decimal = Decimal(0)
    excess: Decimal = Decimal(0)
    expires_after: int = 1


@dataclass(frozen=True, slots=True)
class Commitment:
    """A promised volume: `quantity` images, or that much in the invoice currency, in each period.

    `billing` says how it is charged: what is missing when a period is over (`shortfall`), or the whole before it is
    used, at once (`advance`) or in parts (`instalments`, one every `instalments`), and then drawn down.
    """

    name: str
    kind: str
    quantity: Decimal
    period: str
    models: tuple[str, ...] | None = None
    shortfall_rate: Decimal | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    billing: str = "shortfall"
    instalments: str | None = None
    prepaid_rate: Decimal | None = None
    rollover: Rollover | None = None
    unused_at_termination: str = "forfeited"
    order: int | None = None

    @property
    def prepaid(self) -> bool:
        """True when it is paid before it is used and drawn down."""
        return self.billing != "shortfall"

    @property
    def counts_lines(self) -> bool:
        """True when it counts rated lines and not images alone; then no line may cross the bounds of its periods."""
        return self.kind == "money" or self.prepaid or self.order is not None


@dataclass(frozen=True, slots=True)
class Conversion:
    """From `effective_on` (None: from the start) one unit is worth `rate` of the invoice currency."""

    rate: Decimal
    effective_on: date | None = None


@dataclass(frozen=True, slots=True)
class Definitions:
    """What counts as an image. Rating trusts the counts; statements and audits quote this."""

    image: str = "delivered"
    counted: tuple[str, ...] = ()
    video_frame_factor: Decimal | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Who may hold this licence: kept and shown, attested by the licensee, not computed."""

    revenue_below: tuple[Decimal, str] | None = None
    attested: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How the images of a day without a report are estimated: by the average of the reported days of so many months."""

    rule: str
    months: int


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything that is in force at an instant under an agreement.

    `late_interest` is a yearly percentage on what is paid late; `missing_days` is "hold" where a draft with days of no
    report has to wait for a person, and `estimate` the rule by which such days are billed until a report comes. With
    `grace_days` the clock closes each month so many days after its end, and issues it where `issue` is "automatic".
    """

    currency: str
    unit: str
    fees: tuple[Fee, ...]
    conversions: tuple[Conversion, ...] = ()
    commitments: tuple[Commitment, ...] = ()
    early_termination: str = "prorated"
    payment_days: int = 30
    adapters: str | None = None
    definitions: Definitions = field(default=Definitions())
    eligibility: Eligibility | None = None
    late_interest: Decimal | None = None
    missing_days: str | None = None
    estimate: Estimate | None = None
    grace_days: int | None = None
    issue: str | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Every model these terms cover, in the order of the document."""
        return tuple(model for fee in self.fees for model in fee.models)

    def commitment(self, name: str) -> Commitment | None:
        """The commitment called `name`, if these terms hold one."""
        return next((commitment for commitment in self.commitments if commitment.name == name), None)

    def scope(self, commitment: Commitment) -> tuple[Fee, ...]:
        """The fees whose images count towards a commitment. Zero-rated ones never do: they must not move an amount."""
        wanted = commitment.models
        return tuple(
            fee
            for fee in self.fees
            if fee.schedule.kind != "zero" and (wanted is None or any(model in wanted for model in fee.models))
        )
