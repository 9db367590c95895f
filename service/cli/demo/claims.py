"""Chapter: what was wrong. A credit, a void and a new issue; statements that are certified, disputed and settled."""

from datetime import date

from sqlalchemy.orm import Session

from core.agreements.queries import agreement_named
from core.invoicing.documents import make_document
from core.invoicing.drafts.close import close
from core.invoicing.life.claims import dispute as dispute_invoice
from core.invoicing.life.credit import credit
from core.invoicing.life.credit_plan import credit_amounts
from core.invoicing.life.issue import issue
from core.invoicing.life.stands import find_invoice
from core.invoicing.life.void import void
from core.period import Period
from core.registry.billing import billing_of
from core.registry.register import change_billing
from core.statements.attest import account_of, attest, certify, dispute
from core.statements.queries import document_of, latest_of_period
from core.statements.settle import agree
from core.statements.tables import Dispute, Statement
from core.usage.corrections.correct import correct
from core.usage.corrections.correction import Order
from core.usage.intake.signing_keys import take_up
from service.cli.demo.cast import LICENSOR, MANAGERS
from service.cli.demo.month_end import number_of
from service.cli.demo.plan import moment
from service.cli.demo.scene import Scene, finance

ATTESTED = ("brightforge", "lumenkit", "northlight", "sketchbay")  # who asked for statements
VOIDED = "demo-anima-flat"
CERTIFYING = ("brightforge", "sketchbay")


def give_credit(scene: Scene, month: Period, on: date) -> None:
    """A part of an invoice of lumenkit's, as a goodwill."""
    scene.at(moment(on, 11))
    with scene.session() as session:
        number = number_of(session, "demo-lantern-tiers", month)
        reason = "a day of broken images after an update of the model: agreed by telephone"
        amounts = credit_amounts(session, find_invoice(session, number), "180.00")
        note = credit(session, number, finance("arne"), reason, amounts)
        make_document(session, note.id)


def void_and_issue_again(scene: Scene, month: Period, on: date) -> None:
    """An invoice that named the wrong purchase order: void, and made anew under another number."""
    scene.at(moment(on, 10))
    with scene.session() as session:
        void(session, number_of(session, VOIDED, month), finance("arne"), "the wrong purchase order")
    with scene.session() as session:
        account = account_of(session, LICENSOR, "brightforge")
        change_billing(session, LICENSOR, "brightforge", billing_of(account).but(purchase_order="BF-2077"))
        agreement_id = agreement_named(session, VOIDED).id
        closed = close(session, agreement_id, month, finance("carla"))
        assert closed.invoice is not None  # noqa: S101 - there is usage in every month
        issued = issue(session, closed.invoice.id, finance("arne"))
        make_document(session, issued.id)


def make_statements(scene: Scene, month: Period, on: date) -> None:
    """What was counted, signed; and the word of those who always certify it."""
    scene.at(moment(on, 10))
    with scene.session() as session:
        take_up(session, scene.signer.key_id, scene.signer.public_key)
    for licensee in ATTESTED:
        with scene.session() as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            attest(session, LICENSOR, licensee, month, scene.signer)


def certify_statements(scene: Scene, month: Period, on: date, but: tuple[str, ...] = ()) -> None:
    """Some of the managers have looked at their counts."""
    scene.at(moment(on, 15))
    for licensee in CERTIFYING:
        if licensee not in but:
            with scene.session() as session:
                certify(session, _statement(scene, session, licensee, month), MANAGERS[licensee][0])


def dispute_line(scene: Scene, licensee: str, month: Period, on: date, reason: str) -> int:
    """The licensee says that a day's images were fewer; the number of its dispute."""
    scene.at(moment(on, 9))
    with scene.session() as session:
        statement = _statement(scene, session, licensee, month)
        line = max(document_of(statement)["counts"], key=lambda row: (int(row["image_count"]), str(row["day"])))
        made = dispute(
            session,
            statement,
            model=line["model"],
            day=date.fromisoformat(line["day"]),
            plan=line["plan"] or None,
            claimed=line["image_count"] * 3 // 4,
            reason=reason,
            actor=MANAGERS[licensee][0],
        )
        return made.dispute_id


def settle_dispute(scene: Scene, licensee: str, dispute_id: int, on: date) -> None:
    """Both sides agree on what the licensee said; the next invoice has the difference."""
    scene.count()  # what has come in since
    scene.at(moment(on, 16))
    with scene.session() as session:
        found = session.get_one(Dispute, (scene.licensee_id(session, licensee), dispute_id))
        reason = "the retries of that night were counted, though nothing was delivered"
        agree(session, found, found.claimed, reason=reason, actor=finance("carla").name)
    scene.count()


def dispute_an_invoice(scene: Scene, agreement: str, month: Period, on: date, reason: str) -> None:
    """The licensee writes that an invoice is wrong; the clerk keeps it."""
    scene.at(moment(on, 11))
    with scene.session() as session:
        dispute_invoice(session, number_of(session, agreement, month), finance("carla"), reason)


def withdraw_events(scene: Scene, month: Period, on: date) -> None:
    """Two events that kumo-canvas takes back by itself: tests that were counted."""
    scene.at(moment(on, 12))
    with scene.session() as session:
        orders = [
            Order(f"test-run-{day}", f"{day}/counterfeit/app", "withdraw", "a load test, not for customers")
            for day in list(month.each_day())[8:10]
        ]
        answers = correct(session, scene.licensee_id(session, "kumo-canvas"), orders, MANAGERS["kumo-canvas"][0])
        refused = [answer for answer in answers if answer.status != "accepted"]
        assert not refused, refused  # noqa: S101 - the events are there
    scene.count()


def _statement(scene: Scene, session: Session, licensee: str, month: Period) -> Statement:
    found = latest_of_period(session, scene.licensee_id(session, licensee), scene.licensor_id(session), month)
    assert found is not None  # noqa: S101 - it was made before
    return found
