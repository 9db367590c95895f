"""The audit log: who did what, when and why, newest first; one entry whole; and proof that no link is broken."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import Request
from sqlalchemy import Text, cast, select
from starlette.responses import Response

from core.audit.record import verify_chain
from core.audit.tables import AuditEntry
from core.errors import NotFound
from service.dashboard.acting import act
from service.dashboard.door import page_router
from service.dashboard.listing import Column, Filter, Listing
from service.dashboard.rendering import after, page
from service.dashboard.signed_in import FinanceEyes, Viewer

router = page_router("/audit")
_MOST_SEQUENCE = 2**63 - 1
_MOST_SAID = 4  # of an entry's detail, in the list
KINDS = (  # what the names of acts begin with or hold
    ("invoice", "Invoices"),
    ("payment", "Payments"),
    ("run", "Runs"),
    ("statement", "Statements"),
    ("user", "People"),
    ("key", "Keys"),
    ("webhook", "Webhooks"),
)


def words(action: str) -> str:
    """`invoice.released` as people say it: "invoice released"."""
    return action.replace(".", " ").replace("_", " ")


def said(detail: Mapping[str, Any]) -> str:
    """The first few things of a detail in one line."""
    pairs = [f"{name.replace('_', ' ')}: {value}" for name, value in _flat(detail) if value not in (None, "", [], {})]
    return " · ".join(pairs[:_MOST_SAID]) + (" …" if len(pairs) > _MOST_SAID else "")


def address_of(subject: str) -> str | None:
    """Where the dashboard shows what an entry is about, if it does."""
    kind, _, name = subject.partition(" ")
    return f"/invoices/{name}" if kind == "invoice" and name.replace("-", "").isalnum() else None


LOG = Listing(
    columns=(
        Column(
            "at", "When", lambda row: row.recorded_at, kind="moment", sort=AuditEntry.sequence,
            href=lambda row: f"/audit/{row.sequence}",
        ),
        Column("actor", "Who", lambda row: row.actor, sort=AuditEntry.actor, note=lambda row: row.role),
        Column("action", "What", lambda row: words(row.action), sort=AuditEntry.action),
        Column(
            "subject", "With what", lambda row: row.subject, sort=AuditEntry.subject,
            href=lambda row: address_of(row.subject),
        ),
        Column("detail", "More", lambda row: said(row.detail), wide_only=True),
    ),
    search=(AuditEntry.actor, AuditEntry.action, AuditEntry.subject, cast(AuditEntry.detail, Text)),
    search_label="Search by person, act, number or reason",
    filters=(
        Filter("kind", "About", KINDS, where=AuditEntry.action.contains),
        Filter("role", "Role", tuple((role, role) for role in ("clerk", "approver", "admin", "system")),
               column=AuditEntry.role),
    ),
    sort="-at",
    file="audit-log",
    label="Audit log",
    empty="Nothing has been done yet",
)  # fmt: skip


@router.get("")
def audit_log(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    asked = select(AuditEntry).where(AuditEntry.licensor_id == person.licensor_id)
    return LOG.read(request, eyes, asked, scalars=True).answer("audit/list.html", title="Audit log")


@router.post("/check")
def check_chain(request: Request, person: Viewer) -> Response:
    """Works every hash out again."""
    looked_at, wrong = act(request, lambda session: verify_chain(session, person.licensor_id))
    if wrong:
        more = f" And {len(wrong) - 1:,} more." if len(wrong) > 1 else ""
        return after(request, "/audit", f"The log is not whole: {wrong[0]}.{more}", tone="bad")
    return after(request, "/audit", f"{looked_at:,} entries, each follows the one before it, and none was changed.")


@router.get("/{sequence}")
def audit_entry(request: Request, person: Viewer, eyes: FinanceEyes, sequence: int) -> Response:
    """One entry whole, with its place in the chain."""
    if not 0 < sequence <= _MOST_SEQUENCE:
        raise NotFound("unknown_entry", "the log has no such entry")
    of_licensor = select(AuditEntry).where(AuditEntry.licensor_id == person.licensor_id)
    entry = eyes.scalars(of_licensor.where(AuditEntry.sequence == sequence)).one_or_none()
    if entry is None:
        raise NotFound("unknown_entry", "the log has no such entry")
    about = of_licensor.where(AuditEntry.subject == entry.subject, AuditEntry.sequence != sequence)
    others = eyes.scalars(about.order_by(AuditEntry.sequence.desc()).limit(20)).all()
    return page(
        request, "audit/entry.html", title=words(entry.action).capitalize(), entry=entry,
        detail=[(name.replace("_", " "), value) for name, value in _flat(entry.detail)],
        others=[(each, words(each.action)) for each in others], about=address_of(entry.subject),
    )  # fmt: skip


def _flat(detail: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """A detail as pairs of a name and something plain."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            yield from _flat(value, f"{name} {key}" if name else str(key))
    elif isinstance(detail, list) and any(isinstance(each, Mapping | list) for each in detail):
        for at, value in enumerate(detail, start=1):
            yield from _flat(value, f"{name} {at}")
    else:
        yield name, ", ".join(map(str, detail)) if isinstance(detail, list) else detail
