"""Keys of the finance API: issued for a person or a machine, shown once, revoked. For admins."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.administered import own_people, own_person
from core.access.credentials import SCOPES
from core.access.keys import issue_machine_key, issue_user_key, keys_of, revoke_finance_key
from core.access.tables import FinanceKey
from core.errors import NotFound
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.pages.settings.router import LASTS, router, settings_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import Admin, FinancePerson

MACHINE = "machine"
MACHINE_ROLES = ("viewer", "clerk", "approver")
SCOPE_WORDS: dict[str, str] = {
    "read": "read everything",
    "close": "close months, make drafts",
    "invoices": "issue, credit, void invoices",
    "payments": "record and apply payments",
    "statements": "make and settle statements",
    "admin": "users, keys, webhooks",
}
KEYS = Listing(
    columns=(
        Column("key", "Key", lambda row: f"pfk_{row[0].public_id}_…", note=lambda row: row[0].label or "no label"),
        Column("owner", "Whose", lambda row: row[1], sort=True, note=lambda row: row[0].role or "the role of the user"),
        Column("scopes", "For", lambda row: ", ".join(row[0].scopes), wide_only=True),
        Column("state", "State", lambda row: _state(row[0]), kind="badge", sort=True),
        Column("issued", "Issued", lambda row: row[0].created_at, kind="moment", sort=True, wide_only=True,
               note=lambda row: f"by {row[0].issued_by}"),
        Column("ends", "Ends", lambda row: row[0].revoked_at or row[0].expires_at, kind="moment", sort=True,
               wide_only=True),
        Column("acts", "", lambda row: None, kind="custom", export=False),
    ),
    filters=(
        Filter("state", "State", (("live", "Live"), ("expired", "Expired"), ("revoked", "Revoked")),
               keep=lambda row, state: _state(row[0]) == state),
    ),
    search_label="Search by owner or label",
    sort="-issued",
    file="finance-keys",
    label="Keys of the finance API",
    empty="No keys yet",
)  # fmt: skip


@router.get("/keys")
def finance_keys(request: Request, person: Admin) -> Response:
    return _shown(request, person)


@router.post("/keys")
def issue_finance_key(request: Request, person: Admin, form: Filled) -> Response:
    """A new key. Its text is on the page that answers, and nowhere else ever again."""
    people = [each for each in _people(request, person) if each.active]
    with form:
        whose = form.choice("whose", [MACHINE, *(str(each.id) for each in people)])
        machine = form.text("machine", most=64) if whose == MACHINE else ""
        role = form.choice("role", MACHINE_ROLES, "viewer")
        lasts, label = form.choice("lasts", tuple(LASTS)), form.text("label", required=False, most=200)
        scopes = form.many("scopes", SCOPES)
        if not scopes:
            form.refuse("scopes", "tick at least one")
        form.demand()
        said: dict[str, Any] = {
            "scopes": scopes, "label": label,
            "expires_at": datetime.now(UTC) + timedelta(days=int(lasts)) if lasts else None,
        }  # fmt: skip

        def issue(session: Session) -> str:
            if whose == MACHINE:
                return issue_machine_key(session, person.licensor, person.actor, machine=machine, role=role, **said)
            user = own_person(session, person.licensor_id, int(whose))
            return issue_user_key(session, user.email, person.actor, **said)

        made = act(request, issue)
    if form.wrong:
        return _shown(request, person, form)
    return _shown(request, person, made=made)


@router.get("/keys/{public_id}/revoke")
def ask_to_revoke(request: Request, person: Admin, public_id: str) -> Response:
    """Asks first, on a page of its own."""
    for key, owner in act(request, lambda session: keys_of(session, person.licensor_id)):
        if key.public_id == public_id:
            return settings_page(
                request, "key_revoke.html", person, "API keys", title="Revoke a key", key=key, owner=owner,
                state=_state(key),
            )  # fmt: skip
    raise NotFound("unknown_key", "you have no such key")


@router.post("/keys/{public_id}/revoke")
def revoke_key_of_finance(request: Request, person: Admin, public_id: str) -> Response:
    """Ends a key for good; the next request with it is refused."""
    known = public_id.replace("\x00", "")
    act(request, lambda session: revoke_finance_key(session, known, person.actor, person.licensor_id))
    return after(request, "/settings/keys", f"The key pfk_{public_id} is dead.")


def _state(key: FinanceKey) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= datetime.now(UTC) else "live"


def _people(request: Request, person: FinancePerson) -> Any:
    return act(request, lambda session: own_people(session, person.licensor_id))


def _shown(request: Request, person: FinancePerson, form: Form | None = None, made: str = "") -> Response:
    def read(session: Session) -> Any:
        return keys_of(session, person.licensor_id), own_people(session, person.licensor_id)

    keys, people = act(request, read)
    listed = KEYS.of(request, keys)
    if listed.wants_csv:
        return listed.csv()
    whose = [(MACHINE, "A machine"), *((str(each.id), f"{each.name} ({each.role})") for each in people if each.active)]
    return settings_page(
        request, "keys.html", person, "API keys", status=form.status if form else 200, form=form, made=made,
        listed=listed, whose=whose, lasts=list(LASTS.items()), scopes=SCOPE_WORDS, state=_state,
        machine_roles=[(role, role) for role in MACHINE_ROLES],
    )  # fmt: skip
