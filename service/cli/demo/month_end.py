"""Chapter: a month's end. A run over every agreement, worked here as the workers do it, and what takes two people."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.actors import Actor
from core.agreements.queries import agreement_named
from core.invoicing.documents import make_document
from core.invoicing.life.approve import approve, release
from core.invoicing.life.issue import issue
from core.invoicing.runs.run import advance_items, progress_of, request_run, take_item
from core.invoicing.tables import Invoice
from core.period import Period
from service.cli.demo.scene import Scene, finance

TWO_PEOPLE = "demo-pixelmill"  # above the limit for one person, every month
WITH_BLOCKS = "demo-prepaid-block"
_LEASE = timedelta(days=3660)  # in the past, so long that no worker of the present takes the work for abandoned


def run_month(scene: Scene, month: Period, by: Actor, *, issues: bool = True) -> None:
    """Closes, issues and documents a month of every agreement, where nothing waits for a person."""
    with scene.session() as session:
        run_id = request_run(session, month, issues=issues, by=by).id
        agreements = [item.agreement_id for item, _ in progress_of(session, run_id)]
        for agreement_id in agreements:
            take_item(session, run_id, agreement_id, _LEASE)
    while agreements:
        with scene.session() as session:
            agreements = list(advance_items(session, run_id, agreements))


def approve_and_issue(scene: Scene, month: Period) -> None:
    """The draft above the limit: one person approves it, another issues it."""
    with scene.session() as session:
        invoice = invoice_of(session, TWO_PEOPLE, month)
        if invoice is None or invoice.status != "draft":
            return
        invoice_id = invoice.id
        approve(session, invoice_id, finance("arne"))
    with scene.session() as session:
        issued = issue(session, invoice_id, finance("ada"))
        make_document(session, issued.id)


def release_and_issue(scene: Scene, month: Period) -> None:
    """The draft that is held because a quarter's block is in it: somebody looks, releases and issues it."""
    with scene.session() as session:
        invoice = invoice_of(session, WITH_BLOCKS, month)
        if invoice is None or invoice.status != "held":
            return
        invoice_id = invoice.id
        release(session, invoice_id, finance("arne"), "the block of the next quarter is in it, as agreed")
    with scene.session() as session:
        issued = issue(session, invoice_id, finance("arne"))
        make_document(session, issued.id)


def invoice_of(session: Session, agreement: str, month: Period) -> Invoice | None:
    """The document that stands for an agreement's month."""
    asked = select(Invoice).where(
        Invoice.agreement_id == agreement_named(session, agreement).id,
        Invoice.period_start == month.start,
        Invoice.corrects_invoice_id.is_(None),
        Invoice.status != "void",
    )
    return session.scalars(asked).one_or_none()


def number_of(session: Session, agreement: str, month: Period) -> str:
    """Its number, where it is issued; empty where there is none."""
    invoice = invoice_of(session, agreement, month)
    return (invoice.number or "") if invoice else ""
