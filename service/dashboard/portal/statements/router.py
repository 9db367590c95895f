"""The addresses below /portal/statements, and how one statement is found."""

from sqlalchemy.orm import Session

from core.errors import NotFound
from core.statements.queries import statement_numbered
from core.statements.tables import Statement
from service.dashboard.door import MAX_FORM_BYTES, page_router
from service.dashboard.signed_in import LicenseePerson

router = page_router("/portal/statements", max_bytes=2 * MAX_FORM_BYTES)
_MOST_NUMBER = 2**31 - 1


def statement_of(session: Session, person: LicenseePerson, licensor: str, number: int) -> Statement:
    """One statement of the licensee's. Raises NotFound."""
    if not 0 < number <= _MOST_NUMBER or not licensor.isprintable():
        raise NotFound("statement_not_found", f"there is no statement {number}")
    return statement_numbered(session, licensor, person.licensee, number)
