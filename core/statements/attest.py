"""Makes statements, and takes what the licensee says of them: right, or wrong in these lines.

A statement is one document for ever. When counts of its period change, by late usage or by a correction, the next one
made for the period is another, which says what it replaces. An agreed dispute becomes corrections of events, and so
comes out on the next invoice as an adjustment, like every correction.
"""

from collections.abc import Mapping
from datetime import date, datetime

from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.agreements.queries import agreement_named, agreement_versions, today_in
from core.agreements.tables import Agreement
from core.canonical import canonical, hash_of
from core.errors import Conflict, InvalidInput, NotFound
from core.period import Period
from core.registry.tables import Account, Licensee, Licensor
from core.signatures import Signer
from core.statements.gather import counts_of, scope_of, tree_of
from core.statements.queries import SETTLES, document_of, latest_of_period, stated_images
from core.statements.statement import Place, says_the_same, statement_document
from core.statements.tables import Certification, Dispute, Settlement, Statement, StatementChunk
from core.usage.counts.counting import Timetable
from core.usage.intake.report import is_clean
from core.usage.reporting.days import agreement_days, expecting

MAX_NOTE = 1000
MAX_IMAGES = 2**53
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('perimage statement'), CAST(:account AS integer))")


def attest(session: Session, licensor: str, licensee: str, period: Period, signer: Signer) -> tuple[Statement, bool]:
    """The account's statement for a period that is over, and whether it is new: it is the last one if that still holds.

    Run it in a REPEATABLE READ transaction of its own, after the usage is rolled up. Of two at once the second fails on
    the chain's unique number and may be run again. Raises Conflict for a period that is not over, and for counts that
    differ from the events.
    """
    account = account_of(session, licensor, licensee)
    session.execute(_ONE_AT_A_TIME, {"account": account.id})
    if today_in(session, account.zone) < period.end:
        raise Conflict("period_not_over", f"{period.name} is not over in {account.zone}: attest it then")
    scope = scope_of(session, account, period)
    counts = counts_of(session, scope)
    tree, chunks = tree_of(session, scope)
    last = _last(session, account)
    before = latest_of_period(session, account.licensee_id, account.licensor_id, period)
    calendars = _calendars(session, account, period)
    now: datetime = session.execute(select(func.now())).scalar_one()
    document = statement_document(
        licensor=licensor,
        licensee=licensee,
        zone=account.zone,
        period=period,
        place=Place(
            number=last.number + 1 if last else 1,
            previous_hash=last.hash if last else None,
            revision=before.revision + 1 if before else 1,
            replaces=before.number if before else None,
        ),
        made_at=now,
        counts=counts,
        tree=tree,
        calendars=calendars,
        estimated=_estimated(session, calendars),
    )
    if before and says_the_same(document_of(before), document):
        return before, False
    content = canonical(document)
    statement = Statement(
        licensee_id=account.licensee_id,
        licensor_id=account.licensor_id,
        number=document["number"],
        period_start=period.start,
        period_end=period.end,
        revision=document["revision"],
        replaces=document["replaces"],
        content=content,
        hash=hash_of(document),
        previous_hash=document["previous_hash"],
        key_id=signer.key_id,
        signature=signer.sign(content),
        xid=scope.xid,
        made_at=now,
    )
    session.add(statement)
    session.flush()
    of = {"licensee_id": account.licensee_id, "licensor_id": account.licensor_id, "number": statement.number}
    rows = [
        {**of, "place": place, "first_event_id": chunk.first_event_id, "size": chunk.size, "root": chunk.root}
        for place, chunk in enumerate(chunks)
    ]
    if rows:
        session.execute(insert(StatementChunk), rows)
    return statement, True


def certify(session: Session, statement: Statement, actor: str, note: str | None = None) -> Certification:
    """The licensee says that a statement is right. Once said, it stays said; saying it again changes nothing."""
    key = statement.licensee_id, statement.licensor_id, statement.number
    if before := session.get(Certification, key):
        return before
    if _open_disputes(session, statement):
        raise Conflict("disputed", f"statement {statement.number} has open disputes: settle them first")
    if newer := _replaced_by(session, statement):
        raise Conflict("replaced", f"statement {statement.number} was replaced by {newer}: certify that one")
    licensee_id, licensor_id, number = key
    made = Certification(
        licensee_id=licensee_id,
        licensor_id=licensor_id,
        number=number,
        actor=_line(actor, "who certifies"),
        note=None if note is None else _line(note, "the note"),
    )
    session.add(made)
    session.flush()
    return made


def dispute(
    session: Session,
    statement: Statement,
    *,
    model: str,
    day: date,
    claimed: int,
    reason: str,
    actor: str,
    plan: str | None = None,
) -> Dispute:
    """The licensee says that a model's images of a day (of one plan, or of all) are not those stated."""
    if not 0 <= claimed <= MAX_IMAGES:
        raise InvalidInput("invalid_image_count", "say how many images it should be: a whole number from 0 on")
    if session.get(Certification, (statement.licensee_id, statement.licensor_id, statement.number)):
        raise Conflict("certified", f"statement {statement.number} is certified: correct the events instead")
    if newer := _replaced_by(session, statement):
        raise Conflict("replaced", f"statement {statement.number} was replaced by {newer}: dispute that one")
    stated = stated_images(statement, model, day, plan)
    if stated == claimed:
        raise Conflict("nothing_to_dispute", f"{claimed:,} images of {model} on {day} is what the statement says")
    made = Dispute(
        licensee_id=statement.licensee_id,
        licensor_id=statement.licensor_id,
        number=statement.number,
        model=model,
        day=day,
        plan=plan,
        stated=stated,
        claimed=claimed,
        reason=_line(reason, "the reason"),
        actor=_line(actor, "who disputes"),
    )
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError as error:
        if "uq_disputes_line" not in str(error.orig):
            raise
        raise Conflict(
            "disputed_already", f"{model} on {day} is disputed already in statement {statement.number}"
        ) from None
    return made


def reject(session: Session, found: Dispute, *, reason: str, actor: str) -> Settlement:
    """The licensor's answer to a dispute that it does not share."""
    return _settle(session, found, reason=reason, actor=actor)


def settled_at(session: Session, found: Dispute, agreed: int, *, reason: str, actor: str) -> Settlement:
    """Writes down that both sides agreed on a number of images. The corrections are made by `settle.agree`."""
    return _settle(session, found, reason=reason, actor=actor, agreed=agreed)


def _settle(session: Session, found: Dispute, *, reason: str, actor: str, agreed: int | None = None) -> Settlement:
    key = found.licensee_id, found.dispute_id
    if session.get(Settlement, key):
        raise Conflict("settled_already", f"dispute {found.dispute_id} is settled already")
    made = Settlement(
        licensee_id=found.licensee_id,
        dispute_id=found.dispute_id,
        outcome="rejected" if agreed is None else "agreed",
        agreed=agreed,
        reason=_line(reason, "the reason"),
        actor=_line(actor, "who settles"),
    )
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise Conflict("settled_already", f"dispute {found.dispute_id} is settled already") from None
    return made


def account_of(session: Session, licensor: str, licensee: str) -> Account:
    """The account between two parties, by their slugs."""
    found = session.scalars(
        select(Account)
        .join(Licensor, Licensor.id == Account.licensor_id)
        .join(Licensee, Licensee.id == Account.licensee_id)
        .where(Licensor.slug == licensor, Licensee.slug == licensee)
    ).one_or_none()
    if found is None:
        raise NotFound("unknown_account", f"there is no account between {licensor} and {licensee}")
    return found


def _last(session: Session, account: Account) -> Statement | None:
    of_account = select(Statement).filter_by(licensee_id=account.licensee_id, licensor_id=account.licensor_id)
    return session.scalars(of_account.order_by(Statement.number.desc()).limit(1)).one_or_none()


def _calendars(session: Session, account: Account, period: Period) -> dict[str, list[tuple[date, str]]]:
    slugs = session.scalars(
        select(Agreement.slug).where(
            Agreement.account_id == account.id,
            Agreement.status != "draft",
            Agreement.starts_on < period.end,
            Agreement.ends_on > period.start,
        )
    )
    return {
        slug: [(day.day, day.state) for day in agreement_days(session, expecting(session, slug), period)]
        for slug in sorted(slugs)
    }


def _estimated(session: Session, calendars: Mapping[str, list[tuple[date, str]]]) -> set[tuple[str, date]]:
    """The missing days for which an agreement's terms have a rule by which they are estimated when they are billed."""
    found = set()
    for slug, days in calendars.items():
        missing = [day for day, state in days if state == "missing"]
        terms_on = Timetable(agreement_versions(session, agreement_named(session, slug).id)) if missing else None
        found |= {(slug, day) for day in missing if terms_on and terms_on.on(day).estimate is not None}
    return found


def _open_disputes(session: Session, statement: Statement) -> int:
    open_ones = (
        select(func.count())
        .select_from(Dispute)
        .outerjoin(Settlement, SETTLES)
        .where(
            Dispute.licensee_id == statement.licensee_id,
            Dispute.licensor_id == statement.licensor_id,
            Dispute.number == statement.number,
            Settlement.dispute_id.is_(None),
        )
    )
    return session.execute(open_ones).scalar_one()


def _replaced_by(session: Session, statement: Statement) -> int | None:
    period = Period(statement.period_start, statement.period_end)
    newest = latest_of_period(session, statement.licensee_id, statement.licensor_id, period)
    return newest.number if newest and newest.number != statement.number else None


def _line(said: str, what: str) -> str:
    if not said.strip() or len(said) > MAX_NOTE or not is_clean(said):
        raise InvalidInput("invalid_text", f"{what} must be one line of 1 to {MAX_NOTE:,} characters")
    return said
