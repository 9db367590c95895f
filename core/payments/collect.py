"""Which steps the gateway outbox needs, read off the invoices: what was issued, voided, credited, settled elsewhere.

Nobody has to remember to call the gateway. `plan` compares invoices with planned steps and adds what is missing, so a
step that was never planned (or was lost with a restore) is planned the next time.
"""

from datetime import UTC, date, datetime

from sqlalchemy import Exists, Select, and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.actors import Actor
from core.audit.record import record
from core.errors import Conflict, InvalidInput, NotFound
from core.invoicing.tables import Invoice
from core.ledger.balances import settled
from core.money import Money
from core.payments.gateway import COLLECTIONS, to_gateway
from core.payments.plan import Demand, Line, Step, create_content, credit_step, customer_step, invoice_steps
from core.payments.tables import GatewayCustomer, GatewayInvoice, GatewayStep
from core.registry.tables import Account, Licensee, Licensor

A_SWEEP = 200


def collect_by_gateway(
    session: Session, actor: Actor, licensor_id: int, licensee_id: int, *, collection: str, email: str
) -> GatewayCustomer:
    """From now on the gateway sends this account's invoices, or charges for them: those issued from here on."""
    actor.demand("clerk", "choose how an account is collected")
    if collection not in COLLECTIONS:
        raise InvalidInput("unknown_collection", f"an invoice is collected by {' or '.join(COLLECTIONS)}")
    if "@" not in email or len(email) > 200 or not email.isprintable():
        raise InvalidInput("no_email", "Stripe needs the e-mail address of whoever gets the invoices")
    if session.scalar(select(Account.id).filter_by(licensor_id=licensor_id, licensee_id=licensee_id)) is None:
        raise NotFound("account_not_found", "these two have no account with each other")
    chosen = session.get(GatewayCustomer, (licensor_id, licensee_id), with_for_update=True)
    if chosen is None:
        chosen = GatewayCustomer(licensor_id=licensor_id, licensee_id=licensee_id, collection=collection, email=email)
        session.add(chosen)
    elif chosen.email != email and chosen.gateway_id is not None:
        raise Conflict("customer_known", f"Stripe knows this licensee as {chosen.gateway_id}: change the address there")
    chosen.collection, chosen.email, chosen.active = collection, email, True
    session.flush()
    licensee = session.get_one(Licensee, licensee_id).slug
    record(session, licensor_id, actor, "gateway_chosen", f"account:{licensee}", {"collection": collection})
    return chosen


def stop_collecting(session: Session, actor: Actor, licensor_id: int, licensee_id: int) -> None:
    """Invoices to come are not handed to the gateway; those that are there stay."""
    actor.demand("clerk", "choose how an account is collected")
    chosen = session.get(GatewayCustomer, (licensor_id, licensee_id), with_for_update=True)
    if chosen is None or not chosen.active:
        raise NotFound("not_collected", "this account is not collected by Stripe")
    chosen.active = False
    session.flush()
    record(session, licensor_id, actor, "gateway_left", f"account:{session.get_one(Licensee, licensee_id).slug}")


def plan(session: Session) -> int:
    """Adds the steps that are missing, at most so many invoices a time; how many invoices got some."""
    planned = _plan_issued(session)
    void = _handed_over().where(Invoice.status == "void", ~_has_step("void")).limit(A_SWEEP)
    for invoice in session.scalars(void).all():
        _plan_void(session, invoice)
        planned += 1
    return planned + _plan_credits(session) + _plan_settled(session)


def hand_over(session: Session, invoice: Invoice) -> None:
    """Everything from an empty draft at the gateway to an invoice that is out. Doing it twice adds nothing."""
    chosen = session.get_one(GatewayCustomer, (invoice.licensor_id, invoice.licensee_id))
    licensor = session.get_one(Licensor, invoice.licensor_id).slug
    licensee = session.get_one(Licensee, invoice.licensee_id)
    session.execute(insert(GatewayInvoice).values(invoice_id=invoice.id).on_conflict_do_nothing())
    lane = f"account:{invoice.licensor_id}:{invoice.licensee_id}"
    step = customer_step(licensor, licensee.slug, licensee.name, chosen.email)
    _add(session, invoice, step, lane=lane, invoice_id=None)
    try:
        steps = invoice_steps(_demand(session, invoice), chosen.collection, _today(session))
    except InvalidInput as refused:
        _add(session, invoice, Step("create", 0, {}), state="stopped", error=refused.sentence)
        return
    for each in steps:
        _add(session, invoice, each)


def retry(session: Session, actor: Actor, step_id: int) -> GatewayStep:
    """Gives a stopped step another chance, once the reason has been seen to. It looks first."""
    actor.demand("clerk", "retry a step")
    step = session.get(GatewayStep, step_id, with_for_update=True)
    if step is None or step.state != "stopped":
        raise NotFound("step_not_stopped", f"there is no stopped step {step_id}")
    if step.kind == "create" and step.invoice_id is not None:
        if not step.content:  # it could not even be planned
            return _plan_again(session, actor, step)
        demand = _demand(session, session.get_one(Invoice, step.invoice_id))
        step.content = create_content(demand, step.content["collection_method"], _today(session))
    step.state, step.look_first, step.attempts, step.not_before = "waiting", True, 0, None
    session.flush()
    record(session, step.licensor_id, actor, "gateway_step_retried", f"{step.lane}:{step.kind}:{step.part}")
    return step


def _plan_again(session: Session, actor: Actor, step: GatewayStep) -> GatewayStep:
    invoice = session.get_one(Invoice, step.invoice_id)
    chosen = session.get_one(GatewayCustomer, (step.licensor_id, step.licensee_id))
    create, *others = invoice_steps(_demand(session, invoice), chosen.collection, _today(session))
    step.content, step.state, step.error = dict(create.content), "waiting", None
    for each in others:
        _add(session, invoice, each)
    session.flush()
    record(session, step.licensor_id, actor, "gateway_step_retried", f"{step.lane}:{step.kind}:{step.part}")
    return step


def _plan_issued(session: Session) -> int:
    to_hand_over = (
        select(Invoice)
        .join(
            GatewayCustomer,
            and_(
                GatewayCustomer.licensor_id == Invoice.licensor_id,
                GatewayCustomer.licensee_id == Invoice.licensee_id,
                GatewayCustomer.active,
                GatewayCustomer.since <= Invoice.issued_at,
            ),
        )
        .where(
            Invoice.status == "issued",
            Invoice.kind == "regular",
            Invoice.total_minor > 0,
            ~exists().where(GatewayInvoice.invoice_id == Invoice.id),
        )
        .order_by(Invoice.id)
        .limit(A_SWEEP)
    )
    invoices = session.scalars(to_hand_over).all()
    for invoice in invoices:
        hand_over(session, invoice)
    return len(invoices)


def _plan_void(session: Session, invoice: Invoice) -> None:
    """What has not begun is not begun any more; an invoice that may exist there already is looked for and voided."""
    lane = select(GatewayStep).where(GatewayStep.invoice_id == invoice.id).with_for_update()
    steps = {(step.kind, step.part): step for step in session.scalars(lane.execution_options(populate_existing=True))}
    for step in steps.values():
        not_begun = step.state == "waiting" and step.attempts == 0 and not step.look_first
        if step.state == "stopped" or not_begun:
            step.state, step.finished_at = "cancelled", func.now()
    never_there = steps["create", 0].state == "cancelled" and steps["create", 0].attempts == 0
    _add(session, invoice, Step("void", 0, {}), state="cancelled" if never_there else "waiting")
    session.flush()


def _plan_credits(session: Session) -> int:
    notes = session.scalars(
        select(Invoice)
        .join(GatewayInvoice, GatewayInvoice.invoice_id == Invoice.corrects_invoice_id)
        .where(
            Invoice.kind == "credit_note",
            Invoice.status == "issued",
            ~exists().where(
                GatewayStep.invoice_id == Invoice.corrects_invoice_id,
                or_(
                    and_(GatewayStep.kind == "credit", GatewayStep.part == Invoice.id),
                    GatewayStep.kind == "void",
                ),
            ),
        )
        .order_by(Invoice.id)
        .limit(A_SWEEP)
    ).all()
    for note in notes:
        invoice = session.get_one(Invoice, note.corrects_invoice_id)
        try:
            step = credit_step(note.number or "", note.id, Money(note.currency, -note.total_minor))
        except InvalidInput as refused:
            _add(session, invoice, Step("credit", note.id, {}), state="stopped", error=refused.sentence)
        else:
            _add(session, invoice, step)
    return len(notes)


def _plan_settled(session: Session) -> int:
    """Nothing is left of it here, and the gateway still asks for it: it was paid elsewhere, or given up."""
    still_asked = _handed_over().where(
        Invoice.status == "issued",
        GatewayInvoice.status == "open",
        GatewayInvoice.refresh_wanted_at.is_(None),
        ~_has_step("mark_paid"),
        ~_has_step("write_off"),
        ~exists().where(GatewayStep.invoice_id == Invoice.id, GatewayStep.state == "waiting"),
    )
    planned = 0
    for invoice in session.scalars(still_asked.limit(A_SWEEP)):
        number = invoice.number or ""
        what = settled(session, invoice.licensor_id, [number])[number]
        if what.left == 0 and what.owed > 0:
            _add(session, invoice, Step("write_off" if what.written_off > 0 else "mark_paid", 0, {}))
            planned += 1
    return planned


def _handed_over() -> Select[Invoice]:
    return select(Invoice).join(GatewayInvoice, GatewayInvoice.invoice_id == Invoice.id).order_by(Invoice.id)


def _has_step(kind: str) -> Exists:
    return exists().where(GatewayStep.invoice_id == Invoice.id, GatewayStep.kind == kind)


def _add(
    session: Session,
    invoice: Invoice,
    step: Step,
    *,
    lane: str | None = None,
    invoice_id: int | None = 0,
    state: str = "waiting",
    error: str | None = None,
) -> None:
    session.execute(
        insert(GatewayStep)
        .values(
            lane=lane or f"invoice:{invoice.id}",
            licensor_id=invoice.licensor_id,
            licensee_id=invoice.licensee_id,
            invoice_id=invoice.id if invoice_id == 0 else invoice_id,
            kind=step.kind,
            part=step.part,
            content=dict(step.content),
            state=state,
            error=error,
        )
        .on_conflict_do_nothing()
    )


def _today(session: Session) -> date:
    """The day in UTC by the database's clock, by which the invoice was issued, too."""
    now: datetime = session.execute(select(func.now())).scalar_one()
    return now.astimezone(UTC).date()


def _demand(session: Session, invoice: Invoice) -> Demand:
    assert invoice.number and invoice.content_hash and invoice.due_on  # noqa: S101 - the database sees to it
    lines = [
        Line(line.description, Money(invoice.currency, line.amount_minor), line.service_start, line.service_end)
        for line in invoice.lines
    ]
    if invoice.tax_minor:
        lines.append(Line("Tax", Money(invoice.currency, invoice.tax_minor)))
    total = Money(invoice.currency, invoice.total_minor)
    for money in (total, *(line.amount for line in lines)):
        to_gateway(money)
    licensor = session.get_one(Licensor, invoice.licensor_id).slug
    return Demand(licensor, invoice.number, invoice.content_hash, invoice.due_on, total, lines)


def cancel_open(session: Session, invoice_id: int) -> None:
    """For people: gives up every unfinished step of an invoice. What stands at the gateway stays there."""
    session.execute(
        update(GatewayStep)
        .where(GatewayStep.invoice_id == invoice_id, GatewayStep.state.in_(("waiting", "stopped")))
        .values(state="cancelled", finished_at=func.now())
    )
