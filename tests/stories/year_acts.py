"""What happens along the way in a year of stories: a void, credits, disputes, amendments, write-offs, statements."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements.amend import amend, extend
from core.agreements.documents import declared_in_catalogue
from core.agreements.terms import parse_terms
from core.invoicing.drafts.extras import adjust
from core.invoicing.life.claims import dispute as dispute_invoice
from core.invoicing.life.claims import settle_dispute, write_off
from core.invoicing.life.credit import credit
from core.invoicing.life.void import void
from core.invoicing.runs.run import request_run
from core.invoicing.tables import Invoice
from core.period import Period
from core.statements.attest import attest, certify, dispute
from core.statements.queries import document_of, envelope_of, latest_of_period, proof_of, statement_numbered
from core.statements.settle import agree
from core.statements.tables import Statement
from core.statements.verify import check_statement
from core.usage.counts.rollup import roll_up
from tests.fakes.till import APPROVER
from tests.stories.year_tally import Account, Document

if TYPE_CHECKING:
    from tests.stories.year_of_trade import Year

NEVER_PAID = {("anima-flat", date(2026, 4, 1)), ("flux-builder", date(2026, 2, 1))}  # written off in July


class Acts:
    """Everything that is not every month's."""

    def __init__(self, year: Year) -> None:
        self.year, self.tally = year, year.tally
        self.last: dict[Account, dict[str, Any]] = {}  # each account's newest statement, as it was handed over

    def on(self, n: int, stop: int) -> None:
        """What is to happen on this day, as far as its scenario takes part."""
        plan = {
            (1, 8): ("anima-flat", self._void_and_reissue),
            (1, 15): ("anima-flat", self._dispute_a_line),
            (1, 22): ("anima-flat", self._credit_with_tax),
            (2, 8): ("stacked-base", self._dispute_an_invoice),
            (2, 15): ("anima-flat", self._agree_on_an_amount),
            (2, 22): ("stacked-base", self._reject_the_dispute),
            (2, 28): ("prepaid", self._credit_a_part),
            (5, 22): ("flux-self-serve", self._raise_the_price),
            (6, 8): ("anima-flat", self._raise_the_price_of_the_past),
            (6, 22): ("anima-flat", self._write_off),
            (6, 28): ("flux-builder", self._write_off),
            (11, 15): ("anima-flat", self._extend),
        }
        agreement, act = plan.get((n, stop), ("", None))
        if act and agreement in self.tally.contracts:
            act(agreement)
            self.year.closing.stripe_to_the_end()

    def standing(self, agreement: str, month: date) -> Document:
        """The document of a month that is not void."""
        [found] = [
            one
            for one in self.tally.documents.values()
            if (one.agreement, one.start, one.void, one.corrects) == (agreement, month, False, None)
        ]
        return found

    def _void_and_reissue(self, agreement: str) -> None:
        one = self.standing(agreement, date(2026, 1, 1))
        self.year.act(lambda session: void(session, one.number, APPROVER, "wrong purchase order"))
        one.void = True
        period = Period(one.start, one.end)
        self.year.act(roll_up)
        self.year.both(lambda session: request_run(session, period, issues=True, by=APPROVER).id)
        self.year.closing.work()
        self.year.closing.take_in(period)
        assert self.standing(agreement, one.start).number != one.number

    def _dispute_a_line(self, agreement: str) -> None:
        """The licensee says half, both agree on three quarters: a correction, so an adjustment next month."""
        account, licensee = self.tally.account_of[agreement], self.tally.account_of[agreement][1]
        counts = self.tally.counts(licensee)
        model, day = max((at for at in counts if at[1].month == 1), key=lambda at: (counts[at], at))
        images = counts[model, day]

        def claim(session: Session) -> tuple[Statement, Any]:
            of = self._account_ids(session, account)
            statement = latest_of_period(session, *of, Period.month("2026-01"))
            assert statement is not None
            said = {"reason": "previews", "actor": "Nora"}
            return statement, dispute(session, statement, model=model, day=day, claimed=images // 2, **said)

        _, found = self.year.act(claim)
        agreed = images * 3 // 4
        _, delta = self.year.act(lambda s: agree(s, s.merge(found), agreed, reason="half were previews", actor="Anna"))
        assert delta == agreed - images, (delta, agreed, images)
        self.tally.used(licensee, {
            "event_id": f"dispute of {day}", "model": model, "image_count": delta, "occurred_at": f"{day}T12:00:00Z"
        })  # fmt: skip
        self.year.untouchable.add((licensee, day))
        self.year.act(roll_up)

    def _dispute_an_invoice(self, agreement: str) -> None:
        number = self.standing(agreement, date(2026, 1, 1)).number
        self.year.act(lambda session: dispute_invoice(session, number, APPROVER, "too many, they say"))
        self.year.closing.disputed.add(number)

    def _reject_the_dispute(self, agreement: str) -> None:
        number = self.standing(agreement, date(2026, 1, 1)).number
        self.year.act(lambda session: settle_dispute(session, number, APPROVER, "rejected", "counted again"))
        self.year.closing.disputed.discard(number)

    def _agree_on_an_amount(self, agreement: str) -> None:
        january = Period.month("2026-01")
        said = {"description": "goodwill for an outage", "by": APPROVER, "reason": "letter of 12 March"}
        made = self.year.act(lambda session: adjust(session, agreement, january, -1_234, **said).id)
        key = ("adjustment", "", january.start, january.end, f"agreed-{made}")
        self.tally.agreed.append((agreement, key, -1_234))

    def _credit_a_part(self, agreement: str) -> None:
        self._credit(self.standing(agreement, date(2026, 1, 1)), 5_000)

    def _credit_with_tax(self, agreement: str) -> None:
        self._credit(self.standing(agreement, date(2026, 1, 1)), 777)

    def _credit(self, one: Document, minor: int) -> None:
        """Gives back a part of the document's largest line."""

        def give(session: Session) -> Invoice:
            lines = session.scalars(select(Invoice).where(Invoice.number == one.number)).one().lines
            line = max(lines, key=lambda each: each.amount_minor)
            made = credit(session, one.number, APPROVER, "goodwill", {line.no: minor})
            assert [(each.kind, each.amount_minor) for each in made.lines] == [("credit", -minor)]
            return made

        made = self.year.act(give)
        today = self.year.clock.now.date()
        lines = {("credit", "", one.start, one.end, one.number): (0, -minor)}
        tax = self.tally.tax_on(one.agreement, lines)
        assert (made.number, made.total_minor) and made.total_minor == tax - minor
        note = Document(made.number or "", one.agreement, one.start, one.end, lines, tax, today, today, made.id)
        note.corrects = one.number
        self.tally.credited(note, today)

    def _raise_the_price(self, agreement: str) -> None:
        self._amend(agreement, date(2026, 7, 1), "0.012")

    def _raise_the_price_of_the_past(self, agreement: str) -> None:
        self._amend(agreement, date(2026, 6, 16), "5.5")

    def _amend(self, agreement: str, on: date, rate: str) -> None:
        document = dict(self.tally.contracts[agreement]["versions"][0][1])
        [fee] = document["fees"]
        document["fees"] = [{**fee, "schedule": {"kind": "flat", "rate": rate}}]
        self.year.act(lambda session: amend(session, agreement, on, parse_terms(document)).id)
        self.tally.contracts[agreement]["versions"].append((on, document))

    def _write_off(self, agreement: str) -> None:
        [month] = [month for slug, month in NEVER_PAID if slug == agreement]
        one = self.standing(agreement, month)
        if one.left:
            self.year.act(lambda session: write_off(session, one.number, APPROVER, "they are insolvent"))
            one.off.append((self.year.clock.now.date(), one.left, "written off"))

    def _extend(self, agreement: str) -> None:
        ends_on = date(2028, 1, 1)
        consent = declared_in_catalogue(self.year.clock.now.date())
        self.year.act(lambda session: extend(session, agreement, ends_on, consent).id)
        self.tally.contracts[agreement]["term"] = (self.tally.contracts[agreement]["term"][0], ends_on)

    # Statements

    def attest(self, n: int) -> None:
        """A statement of the month for every account, one more of the month before where it has changed, each checked
        as its licensee does: signature, sums, chain, and that one of its events is in it."""
        for account in self.tally.zones:
            for month in (n - 1, n):
                if month >= 0:
                    self._attest(account, self.year.period(month), certified=month > 0)

    def _attest(self, account: Account, period: Period, *, certified: bool) -> None:
        with Session(self.year.engine) as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            statement, new = attest(session, *account, period, self.year.signer)
            number = statement.number
            session.commit()
        with Session(self.year.engine) as session:
            statement = statement_numbered(session, *account, number)
            envelope, proof = envelope_of(statement), self._proof(session, account, statement)
            if new:
                previous = self.last.get(account)
                keys = {self.year.signer.key_id: self.year.signer.public_key}
                checks = check_statement(envelope, keys, previous=previous, proof=proof)
                assert all(check.holds for check in checks), [check.said for check in checks]
                assert previous or number == 1
                self.last[account] = envelope
            if certified:
                certify(session, statement, "Nora")
            session.commit()
        stated: dict[tuple[str, date], int] = {}
        for row in envelope["statement"]["counts"]:
            if not row["role"].endswith("_waived"):
                at = row["model"], date.fromisoformat(row["day"])
                stated[at] = stated.get(at, 0) + row["image_count"]
        assert {at: images for at, images in stated.items() if images} == self._counted(account, period)

    def _counted(self, account: Account, period: Period) -> dict[tuple[str, date], int]:
        return {
            (model, day): images
            for (model, day), images in self.tally.counts(account[1]).items()
            if images and day in period and self.tally.licensors[model] == account[0]
        }

    def _proof(self, session: Session, account: Account, statement: Statement) -> dict[str, Any] | None:
        """That one event is in the statement: any that occurred in the middle of its month and owes this licensor."""
        middle = statement.period_start + timedelta(days=9), statement.period_end - timedelta(days=9)
        for (licensee, event_id), event in self.tally.events.items():
            owed_to = {self.tally.licensors[model] for model in self.tally.owes.get(event["model"], ())}
            day = date.fromisoformat(event["occurred_at"][:10])
            fits = licensee == account[1] and account[0] in owed_to and middle[0] <= day < middle[1]
            if fits and not event_id.startswith("dispute") and document_of(statement)["events"]["event_count"]:
                return proof_of(session, statement, event_id)
        return None

    @staticmethod
    def _account_ids(session: Session, account: Account) -> tuple[int, int]:
        from core.payments.apply import account_of

        licensor_id, licensee_id = account_of(session, *account)
        return licensee_id, licensor_id
