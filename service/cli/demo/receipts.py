"""Chapter: what was paid. Bank statements confirmed row by row, payments by hand, too little, too much and too late."""

import csv
import io
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy.orm import Session

from core.invoicing.life.stands import find_invoice, stand
from core.money import Money
from core.payments.apply import allocate, record_payment, source_of_payment
from core.payments.bank_statements import confirm, import_statement, proposals
from core.period import Period
from service.cli.demo.month_end import number_of
from service.cli.demo.plan import moment
from service.cli.demo.scene import Scene, finance

BANK_DAY, WIRE_DAY = 24, 19  # of the month after, from 0
STILL_PAYING = 3  # months back, until which northlight has paid


@dataclass(frozen=True, slots=True)
class Row:
    """One incoming transaction in the bank's file."""

    booked_on: date
    amount: Money
    payer: str
    reference: str


@dataclass(frozen=True, slots=True)
class Owed:
    """What an invoice is open for."""

    number: str
    left: Money


def receive(scene: Scene, month: Period) -> None:
    """What came in for a month's invoices in the month after."""
    back = scene.plan.months_back(month)
    start = month.end
    scene.at(moment(start + timedelta(days=WIRE_DAY), 13))
    _wire(scene, "kumo-canvas", "demo-prepaid-block", month)
    _wire(scene, "pixelmill", "demo-pixelmill", month, charges=1_500)
    scene.at(moment(start + timedelta(days=BANK_DAY), 10))
    with scene.session() as session:
        rows = _rows(session, month, back, start + timedelta(days=BANK_DAY))
    _import(scene, f"bank-{month.name}", rows)
    with scene.session() as session:
        waiting = [each.row.id for each in proposals(session, scene.licensor_id(session)) if each.match.licensee]
    for row_id in waiting:
        with scene.session() as session:
            confirm(session, finance("carla"), row_id)


def leave_rows_open(scene: Scene, on: date) -> None:
    """A file that nobody has looked at yet: one row fits an invoice, one nearly, one belongs to nobody."""
    scene.at(moment(on, 8))
    plan = scene.plan
    with scene.session() as session:
        late = _open(session, "demo-northlight", plan.earlier(2))
        part = _open(session, "demo-sd3-enterprise", plan.earlier(1))
        rows = [
            *([Row(on, late.left, "NORTHLIGHT MEDIA", f"Invoice {late.number}")] if late else []),
            *([Row(on, Money("USD", 500_000), "Palette Works", "second part, as agreed")] if part else []),
            Row(on, Money("USD", 12_000), "R. Nobody", "deposit"),
        ]
    _import(scene, f"bank-{plan.this.name}", rows)


def _rows(session: Session, month: Period, back: int, on: date) -> list[Row]:
    """The bank's rows for a month: most pay what was asked for."""
    asked = {
        "demo-anima-flat": "BRIGHTFORGE STUDIO",
        "demo-sd3-enterprise": "PALETTE WORKS INC",
        "demo-flux-self-serve": "TINYBRUSH APS",
        "demo-lantern-tiers": "LUMENKIT GMBH",
        "demo-northlight": "NORTHLIGHT MEDIA",
        "demo-sketchbay": "SKETCHBAY LDA",
    }
    rows = []
    for agreement, payer in asked.items():
        owed = _open(session, agreement, month)
        if owed is None or _unpaid(agreement, back):
            continue
        amount = owed.left
        if agreement == "demo-sd3-enterprise" and back == 1:
            amount = Money(amount.currency, amount.minor // 2)
        if agreement == "demo-flux-self-serve" and back == 2:
            amount += Money(amount.currency, 150_000)
        rows.append(Row(on, amount, payer, f"Invoice {owed.number} thank you"))
    return rows


def _unpaid(agreement: str, back: int) -> bool:
    """lumenkit disputes its newest invoice, northlight has stopped paying."""
    return (agreement == "demo-lantern-tiers" and back == 1) or (
        agreement == "demo-northlight" and back <= STILL_PAYING
    )


def _import(scene: Scene, name: str, rows: list[Row]) -> None:
    text = io.StringIO()
    file = csv.writer(text)
    file.writerow(("date", "amount", "currency", "payer", "reference", "id"))
    for number, row in enumerate(rows):
        amount = (row.booked_on, row.amount.amount, row.amount.currency)
        file.writerow((*amount, row.payer, row.reference, f"{name}-{number}"))
    with scene.session() as session:
        content = text.getvalue().encode()
        licensor_id = scene.licensor_id(session)
        import_statement(session, finance("carla"), licensor_id, name=name, content=content, currency="USD")


def _wire(scene: Scene, licensee: str, agreement: str, month: Period, charges: int = 0) -> None:
    """A payment that the clerk writes down by hand and applies to its invoice."""
    with scene.session() as session:
        owed = _open(session, agreement, month)
        if owed is None:
            return
        paid = record_payment(
            session,
            finance("carla"),
            licensor_id=scene.licensor_id(session),
            licensee_id=scene.licensee_id(session, licensee),
            amount=owed.left,
            received_on=(scene.now or moment(scene.plan.today)).date(),
            method="manual",
            reference=f"wire-{owed.number}",
            payer=licensee,
            note="as announced by e-mail",
            charges=Money(owed.left.currency, charges) if charges else None,
        )
        allocate(session, finance("carla"), source_of_payment(session, paid.id), owed.number, owed.left)


def _open(session: Session, agreement: str, month: Period) -> Owed | None:
    """What is still asked for an agreement's month."""
    number = number_of(session, agreement, month)
    if not number:
        return None
    invoice = find_invoice(session, number)
    left = stand(session, [invoice])[invoice.id].left
    return Owed(number, Money(invoice.currency, left)) if left > 0 else None
