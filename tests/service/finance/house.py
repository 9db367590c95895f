"""Furnishes two licensors: agreements, a draft, an invoice, payments, a bank row, a statement, a dispute, a run.

Every name that belongs to the second begins with `rival`, `rv` or `RVL`, so that a leak can be seen.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.access.credentials import SCOPES
from core.access.keys import issue_machine_key, issue_user_key
from core.access.users import add_user
from core.actors import Actor
from core.database import make_engine
from core.invoicing.drafts.close import close
from core.invoicing.life.issue import issue
from core.invoicing.runs.run import request_run
from core.invoicing.tables import InvoiceDocument
from core.money import Money
from core.notices.deliver import send_test
from core.notices.endpoints import add_endpoint
from core.payments.apply import allocate, record_payment, source_of_payment
from core.payments.bank_statements import import_statement
from core.payments.tables import BankRow
from core.period import Period
from core.registry.tables import Licensor
from core.signatures import Signer
from core.statements.attest import attest, dispute
from core.usage.counts.rollup import roll_up
from core.usage.tables import UsageEvent
from tests.door import Door
from tests.trade import Trade, flat

ROOT = Actor("root", "admin")
TODAY = datetime.now(UTC).date()
LAST = Period.month_of(TODAY.replace(day=1) - timedelta(days=1))
BEFORE = Period.month_of(LAST.start - timedelta(days=1))
ROLES = ("viewer", "clerk", "approver", "admin")
MARKS = {"guild": ("guild", "gd-", "GLD"), "rival": ("rival", "rv-", "RVL")}


@dataclass
class House:
    """A licensor's keys by role, and the names of what it has."""

    slug: str
    keys: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


@dataclass
class Finance:
    """The door, and both houses."""

    door: Door
    houses: dict[str, House]

    def get(self, path: str, role: str = "viewer", house: str = "guild", **params: Any) -> httpx.Response:
        return self.door.client.get(path, params=params, headers=self.headers(role, house))

    def post(
        self, path: str, body: Any = None, role: str = "admin", house: str = "guild", key: str | None = None
    ) -> httpx.Response:
        headers = self.headers(role, house) | ({"Idempotency-Key": key} if key else {})
        return self.door.client.post(path, json=body, headers=headers)

    def headers(self, role: str, house: str = "guild") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.houses[house].keys[role]}"}

    def names(self, house: str = "guild") -> dict[str, str]:
        return self.houses[house].names


def furnish(database_url: str) -> dict[str, House]:
    engine = make_engine(database_url)
    with Session(engine) as session:
        trade = Trade(session)
        session.add(Licensor(slug="rival", name="Rival", invoice_prefix="RVL"))
        session.commit()
        houses = {"guild": _house(session, trade, "guild", "gd"), "rival": House("rival")}
        houses["rival"] = _house(session, Trade.of(session, "rival"), "rival", "rv")
    engine.dispose()
    return houses


def _house(session: Session, trade: Trade, slug: str, short: str) -> House:
    house = House(slug)
    for role in ROLES:
        user = add_user(session, slug, ROOT, email=f"{role}@{slug}.example", name=f"The {role}", role=role)
        house.keys[role] = issue_user_key(session, user.email, ROOT, scopes=SCOPES)
    house.keys["machine"] = issue_machine_key(session, slug, ROOT, machine=f"{slug}-erp", role="clerk", scopes=["read"])
    session.commit()
    own, model = f"{slug}-only", f"{short}-1"
    term = {"starts_on": TODAY - timedelta(days=400), "ends_on": TODAY + timedelta(days=400)}
    deals = [
        trade.agreement(f"{slug}-deal", licensee="north", fees=[flat(model, "0.01")], **term),
        trade.agreement(f"{slug}-solo", licensee=own, fees=[flat(f"{short}-2", "0.02")], **term),
    ]
    for month, images in ((BEFORE, 50_000), (LAST, 30_000)):
        trade.use(model, images, f"{month.start}T12:00Z", licensee="north", plan=f"{slug}-pro")
        trade.use(f"{short}-2", images, f"{month.start}T12:00Z", licensee=own)
    session.commit()
    roll_up(session)
    invoice = issue(session, close(session, deals[0].id, BEFORE).invoice.id)  # type: ignore[union-attr]
    spare = issue(session, close(session, deals[1].id, BEFORE).invoice.id)  # type: ignore[union-attr]
    draft = close(session, deals[0].id, LAST).invoice
    assert draft is not None
    session.add(
        InvoiceDocument(invoice_id=invoice.id, kind="pdf", template="1", content=slug.encode(), sha256="0" * 64)
    )
    session.commit()
    account = trade.account("north")
    payment = record_payment(
        session, ROOT, licensor_id=trade.licensor.id, licensee_id=account.licensee_id, amount=Money("USD", 300_00),
        received_on=TODAY, method="manual", reference=f"{slug}-payment-1",
    )  # fmt: skip
    application = allocate(
        session, ROOT, source_of_payment(session, payment.id), invoice.number or "", Money("USD", 100_00)
    )
    bank = f"date,amount,payer,reference\n{TODAY},77.00,{slug} payer,{spare.number}\n".encode()
    import_statement(session, ROOT, trade.licensor.id, name=f"{slug}-bank-1", content=bank, currency="USD")
    row = session.scalars(select(BankRow).filter_by(licensor_id=trade.licensor.id)).one()
    hooks = add_endpoint(session, ROOT, trade.licensor.id, f"https://hooks.{slug}.example/", kinds=["invoice.issued"])
    delivery = send_test(session, ROOT, hooks.id)
    run = request_run(session, LAST, issues=False, licensor_id=trade.licensor.id)
    session.commit()
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    statement, _ = attest(session, slug, "north", BEFORE, Signer(b"\x09" * 32))
    session.commit()
    disputed = dispute(
        session, statement, model=model, day=BEFORE.start, claimed=49_000, reason=f"{slug} test", actor="north"
    )
    session.commit()
    house.names = {
        "invoice": invoice.number or "",
        "spare": spare.number or "",
        "draft": f"draft-{draft.id}",
        "agreement": f"{slug}-deal",
        "solo": f"{slug}-solo",
        "licensee": own,
        "payment_id": str(payment.id),
        "application_id": str(application.id),
        "row_id": str(row.id),
        "run_id": str(run.id),
        "endpoint_id": str(hooks.id),
        "delivery_id": str(delivery.id),
        "event_id": session.scalars(select(UsageEvent.event_id).filter_by(model=model)).first() or "",
        "number": str(statement.number),
        "dispute_id": str(disputed.dispute_id),
        "kind": "pdf",
        "public_id": house.keys["viewer"].split("_")[1],
        "model": model,
        "period": LAST.name,
        "before": BEFORE.name,
    }
    return house
