"""The papers of an issued item: the invoice's documents, then the signed statement of its account's month.

Each is made in a transaction of its own, outside the one that issues, and may be made again: what is there is kept. The
item is finished when both are. Without a signing key there are no statements, and one that is refused says so in the
item: the invoice is out all the same.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from config.settings import settings
from config.signing import signer_of
from core.errors import PerimageError, Unavailable
from core.invoicing.documents import make_document
from core.invoicing.runs.papers import Papers, papers_of
from core.invoicing.runs.run import advance_item, renew_lease
from core.signatures import Signer
from core.statements.attest import attest
from core.statements.queries import latest_of_period
from core.usage.intake.signing_keys import take_up
from worker.session import new_session

log = structlog.get_logger()


def make_papers(run_id: int, agreement_id: int) -> bool:
    """Makes what an issued item lacks, and finishes it. False for one that is not issued."""
    with new_session() as session:
        papers = papers_of(session, run_id, agreement_id)
        if papers is None:
            return False
        make_document(session, papers.invoice_id)
        session.commit()
    said = _attested(run_id, agreement_id, papers)
    with new_session() as session:
        advance_item(session, run_id, agreement_id, said)
        session.commit()
    return True


def _attested(run_id: int, agreement_id: int, papers: Papers) -> str | None:
    """Sees to the statement; why there is none, where it was refused."""
    signer = _signer()
    if signer is None:
        return None
    with new_session() as session:
        made = latest_of_period(session, papers.licensee_id, papers.licensor_id, papers.period)
        if made is not None and made.made_at >= papers.asked_at:  # with another agreement of the account
            return None
        take_up(session, signer.key_id, signer.public_key)
        session.commit()
    try:
        with _held(run_id, agreement_id):
            try:
                _attest(papers, signer)
            except IntegrityError:  # another agreement's item was quicker by a moment: then it is there now
                _attest(papers, signer)
    except Unavailable:
        raise
    except PerimageError as refusal:
        log.warning("statement refused", run=run_id, agreement=agreement_id, why=refusal.sentence)
        return f"no statement: {refusal.sentence}"
    return None


@contextmanager
def _held(run_id: int, agreement_id: int) -> Iterator[None]:
    """Keeps the item's lease while a month is read, which may take long. Who dies meanwhile holds it a lease longer."""
    lease, over = timedelta(seconds=settings().lease_seconds), threading.Event()

    def renew() -> None:
        with suppress(SQLAlchemyError), new_session() as session:  # the lease then ends, and somebody else begins
            renew_lease(session, run_id, agreement_id, lease)
            session.commit()

    def keep() -> None:
        while not over.wait(lease.total_seconds() / 3):
            renew()

    renew()
    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _attest(papers: Papers, signer: Signer) -> None:
    with new_session() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        attest(session, papers.licensor, papers.licensee, papers.period, signer)
        session.commit()


@cache
def _signer() -> Signer | None:
    return signer_of(settings())
