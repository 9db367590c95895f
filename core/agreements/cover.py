"""Claims days for an agreement, and gives them back: the only writer of `agreement_models`.

The exclusion constraint decides who holds a day. Signings of one account take turns, so that the second one meets the
first one's row and is refused by a sentence, instead of both meeting in a deadlock.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.agreements.signable import overlap_sentence
from core.agreements.tables import Agreement, AgreementModel
from core.errors import Conflict
from core.period import Period
from core.registry.register import ids
from core.registry.tables import Model

Cover = Mapping[str, Sequence[Period]]
OVERLAP = "ex_agreement_models_overlap"
_ONE_ACCOUNT_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('perimage cover'), CAST(:account AS integer))")


def claim(session: Session, agreement: Agreement, cover: Cover) -> None:
    """Claims the days for the agreement; the database refuses a day that another one of the account holds."""
    models = ids(session, Model, cover)
    rows = [
        {
            "agreement_id": agreement.id,
            "account_id": agreement.account_id,
            "model_id": models[slug],
            "days": Range(days.start, days.end),
        }
        for slug, runs in cover.items()
        for days in runs
    ]
    if rows:
        with _naming_overlap(session, agreement, cover):
            session.execute(_ONE_ACCOUNT_AT_A_TIME, {"account": agreement.account_id % 2**31})
            session.execute(insert(AgreementModel), rows)


def cut(session: Session, agreement: Agreement, day: date, models: Collection[str] | None = None) -> None:
    """Ends the agreement's cover of some models, or of all, at the start of `day`.

    The event that says so must have been recorded in this transaction: the database looks for it.
    """
    tail = func.daterange(day, None)
    wanted = update(AgreementModel).where(
        AgreementModel.agreement_id == agreement.id, AgreementModel.days.op("&&")(tail)
    )
    if models is not None:
        wanted = wanted.where(AgreementModel.model_id.in_(ids(session, Model, models).values()))
    session.execute(
        wanted.values(days=AgreementModel.days.op("*")(func.daterange(None, day))), {}, execution_options=_UNSEEN
    )


_UNSEEN = {"synchronize_session": False}  # nobody keeps these rows in a session


@contextmanager
def _naming_overlap(session: Session, agreement: Agreement, cover: Cover) -> Iterator[None]:
    try:
        with session.begin_nested():
            yield
    except IntegrityError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) != OVERLAP:
            raise
        raise _overlap(session, agreement, cover) from error


def _overlap(session: Session, agreement: Agreement, cover: Cover) -> Conflict:
    """The refusal that names the agreement, the model and the days in the way."""
    standing = session.execute(
        select(Agreement.slug, Model.slug, AgreementModel.days)
        .join(Agreement, Agreement.id == AgreementModel.agreement_id)
        .join(Model, Model.id == AgreementModel.model_id)
        .where(AgreementModel.account_id == agreement.account_id, Model.slug.in_(cover))
        .order_by(AgreementModel.id)
    )
    for other, model, days in standing:
        held = Period(days.lower, days.upper) if days.lower and days.upper else None
        for wanted in cover[model] if held else ():
            if held and (both := wanted.overlap(held)):
                return Conflict(
                    "agreements_overlap", overlap_sentence(agreement.slug, other, model, both), agreement=other
                )
    return Conflict("agreements_overlap", f"agreement {agreement.slug} overlaps another agreement of its account")
