"""Examples for the matrix in test_reach.py: what stands in the addresses of the pages, and what is sent to the acts.

Everything here belongs to the licensor `guild` and the licensee `north`. A route with a name that has no example fails.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.access.people import find_person
from core.access.sessions import open_session
from core.access.tables import LicenseeUser
from tests.service.dashboard.people import FINANCE, PORTAL, Dashboard

Sample = Callable[[Dashboard], str]


def named(name: str) -> Sample:
    """Something that `tests/service/finance/house.py` made and named."""
    return lambda dashboard: dashboard.houses["guild"].names[name]


def always(text: str) -> Sample:
    return lambda _dashboard: text


def _session_of(who: str) -> Sample:
    def made(dashboard: Dashboard) -> str:
        with Session(dashboard.engine) as session:
            person = find_person(session, who)
            assert person is not None
            opened = open_session(session, person, "the matrix")
            session.commit()
            return str(opened.id)

    return made


def _user_of_north(dashboard: Dashboard) -> str:
    with Session(dashboard.engine) as session:
        asked = select(LicenseeUser.id).where(LicenseeUser.email == PORTAL["viewer"])
        return str(session.scalars(asked).one())


# By the name in braces in an address; `(route, name)` where one route means something else by it.
SAMPLES: dict[str | tuple[str, str], Sample] = {
    **{
        name: named(name)
        for name in (
            "invoice", "draft", "agreement", "payment_id", "application_id", "row_id", "run_id", "number",
            "dispute_id", "kind", "public_id", "model", "period",
        )
    },
    "licensee": named("licensee"),
    "session_id": _session_of(FINANCE["admin"]),
    ("audit_entry", "sequence"): always("1"),
    "licensee_user_id": _user_of_north,
}  # fmt: skip

# Numbers that everybody counts for themselves: the same number names something of the other's own, or nothing.
COUNTED_BY_EACH = {"sequence", "number"}

# The form that is sent to an act, by the name of its function; none is an empty form.
BODIES: dict[str, Mapping[str, Any]] = {
    "add_name": {"name": "a-new-name", "model": "none-of-these"},
    "resolve_guess": {"name": "nothing", "reason": "a reason"},
    "issue_meter_key": {"label": "matrix", "lasts": ""},
    "revoke_meter_key": {"reason": "a reason"},
    "make_statement": {"period": "2026-10"},
    "settle_dispute": {"outcome": "reject", "reason": "a reason"},
    "change_look": {"theme": "dark", "language": "de"},
    "change_password": {"old": "not it", "password": "a long enough one", "again": "a long enough one"},
}

# Pages that anybody may ask for, without being signed in.
OPEN = {"sign_in", "sign_in_with_password", "sign_in_by_oidc", "back_from_oidc", "welcome", "set_first_password"}
# Acts that end the session of whoever does them, so that the matrix cannot go on with it.
ENDS_THE_SESSION = {"sign_out", "sign_out_everywhere", "change_password"}
# Reads that answer with something else than a page of 200 when all is well.
ANSWERS: dict[str, int] = {}
