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
from core.access.users import add_user
from core.invoicing.tables import Invoice
from core.notices.tables import Delivery
from core.payments.tables import GatewayStep
from core.registry.register import issue_key
from core.scenarios.save import Owner, save_scenario
from tests.service.dashboard.people import FINANCE, PORTAL, ROOT, Dashboard
from tests.service.dashboard.portal_samples import PORTAL_SAMPLES

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


def _scenario_of(who: str) -> Sample:
    """A saved one that everybody of the house sees."""

    def made(dashboard: Dashboard) -> str:
        with Session(dashboard.engine) as session:
            person = find_person(session, who)
            assert person is not None
            licensor = getattr(person, "licensor_id", None)
            owner = Owner(who, licensor, None if licensor else person.licensee_id)  # type: ignore[union-attr]
            saved = save_scenario(session, owner, "The matrix", {"of": "sd3-enterprise"}, sharing="party")
            session.commit()
            return saved.key

    return made


def _user_of_guild_only(dashboard: Dashboard) -> str:
    with Session(dashboard.engine) as session:
        return str(session.scalars(select(LicenseeUser.id).filter_by(email="viewer@guild-only.example")).one())


def _spare_user(dashboard: Dashboard) -> str:
    """Somebody of guild's whom nothing else needs, since the matrix deactivates them."""
    with Session(dashboard.engine) as session:
        found = find_person(session, "spare@guild.example") or add_user(
            session, "guild", ROOT, email="spare@guild.example", name="Spare", role="viewer"
        )
        session.commit()
        return str(found.id)


def _notice(dashboard: Dashboard) -> str:
    with Session(dashboard.engine) as session:
        return str(session.get_one(Delivery, int(named("delivery_id")(dashboard))).notice_id)


def _meter_key(dashboard: Dashboard) -> str:
    """A key of the licensee that only guild has."""
    with Session(dashboard.engine) as session:
        public_id = issue_key(session, named("licensee")(dashboard), "the matrix").split("_")[1]
        session.commit()
        return public_id


def _gateway_step(dashboard: Dashboard) -> str:
    """A step at Stripe of the guild's that was stopped."""
    with Session(dashboard.engine) as session:
        invoice = session.scalars(select(Invoice).filter_by(number=dashboard.houses["guild"].names["invoice"])).one()
        step = GatewayStep(
            lane=f"invoice:{invoice.id}", licensor_id=invoice.licensor_id, licensee_id=invoice.licensee_id,
            invoice_id=invoice.id, kind="send", content={}, state="stopped", error="it said no",
        )  # fmt: skip
        session.add(step)
        session.commit()
        return str(step.id)


# By the name in braces in an address; `(route, name)` where one route means something else by it.
SAMPLES: dict[str | tuple[str, str], Sample] = {
    **{
        name: named(name)
        for name in (
            "invoice", "draft", "agreement", "payment_id", "application_id", "row_id", "run_id", "number",
            "dispute_id", "kind", "public_id", "model", "period", "endpoint_id", "delivery_id",
        )
    },
    "licensee": named("licensee"),
    "line": always("1"),
    "step_id": _gateway_step,
    ("revoke_meter_key", "public_id"): _meter_key,
    "session_id": _session_of(FINANCE["admin"]),
    ("saved_scenario", "key"): _scenario_of(FINANCE["viewer"]),
    ("delete_scenario", "key"): _scenario_of(FINANCE["viewer"]),
    ("portal_saved_scenario", "key"): _scenario_of(PORTAL["viewer"]),
    ("portal_delete_scenario", "key"): _scenario_of(PORTAL["viewer"]),
    ("audit_entry", "sequence"): always("1"),
    **{(name, "agreement"): named("solo") for name in ("agreement", "sign_agreement")},  # of the licensee above
    **{(name, "licensee"): always("north") for name in ("licensee_statement", "statement_file", "settle_dispute")},
    "licensee_user_id": _user_of_north,
    "user_id": _spare_user,
    "person_id": _user_of_guild_only,
    "notice_id": _notice,
    **PORTAL_SAMPLES,
}  # fmt: skip

# Names that mean something to everybody, such as months and what each counts for themselves: the same one leads to
# something of the other's own, or to nothing.
# `(route, name)`: only there, such as `north`, whom both licensors have.
COUNTED_BY_EACH: set[str | tuple[str, str]] = {
    "sequence", "number", "period", ("licensee_statement", "licensee"), ("statement_file", "licensee"),
}  # fmt: skip

# The form that is sent to an act, by the name of its function; none is an empty form.
BODIES: dict[str, Mapping[str, Any]] = {
    "add_name": {"name": "a-new-name", "model": "gd-1"},
    "resolve_guess": {"name": "nothing", "reason": "a reason"},
    "issue_meter_key": {"label": "matrix", "lasts": ""},
    "revoke_meter_key": {"reason": "a reason"},
    "make_statement": {"period": "2026-10"},
    "settle_dispute": {"outcome": "reject", "reason": "a reason"},
    "hold_invoice": {"reason": "a reason"},
    "ask_another": {"verb": "void", "reason": "a reason"},
    "credit_invoice": {"step": "show", "what": "all"},
    "record_new_payment": {"amount": "1.00", "currency": "USD", "received_on": "2026-11-01", "step": "propose"},
    "apply_payment": {"amount": "1.00"},
    "set_row_aside": {"reason": "a reason"},
    "save_scenario": {"name": "The matrix, too", "sharing": "party", "price": "13"},
    "portal_save_scenario": {"name": "The matrix, too", "sharing": "party", "price": "13"},
    "change_look": {"theme": "dark", "language": "de"},
    "change_password": {"old": "not it", "password": "a long enough one", "again": "a long enough one"},
}

# Pages that anybody may ask for, without being signed in.
OPEN = {"sign_in", "sign_in_with_password", "sign_in_by_oidc", "back_from_oidc", "welcome", "set_first_password"}
# Acts that end the session of whoever does them, so that the matrix cannot go on with it.
ENDS_THE_SESSION = {"sign_out", "sign_out_everywhere", "change_password"}
# Reads that answer with something else than a page of 200 when all is well.
ANSWERS: dict[str, int] = {"front": 303, "own_logo_picture": 404}  # nobody there has a logo
