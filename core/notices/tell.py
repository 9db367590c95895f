"""Writes findings down as notices, each once for ever, with a delivery for everybody who is to be told."""

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.notices.kinds import KINDS, Finding
from core.notices.tables import Delivery, Notice, WebhookEndpoint
from core.registry.tables import Account, Licensee, Licensor

Pair = tuple[int, int]  # (licensor id, licensee id)
Tongue = tuple[str, str]  # (language, locale)
ENGLISH: Tongue = ("en", "")


@dataclass(frozen=True, slots=True)
class People:
    """Whom to write to, read once for many findings."""

    licensors: dict[int, str]
    licensees: dict[Pair, tuple[str, ...]]
    tongues: dict[Pair, Tongue]


def tell(session: Session, findings: Sequence[Finding], *, mail: bool) -> int:
    """Keeps the findings that are not notices yet, and returns how many they were.

    Two that find the same at once: the key is unique, so the second waits for the first and then does nothing. Without
    `mail` nobody is written to, also later.
    """
    new = _unknown(session, {_identity(each): each for each in findings})
    if not new:
        return 0
    rows = session.execute(
        insert(Notice)
        .values([_row(each) for each in new])
        .on_conflict_do_nothing(index_elements=["licensor_id", "kind", "key"])
        .returning(Notice.id, Notice.licensor_id, Notice.kind, Notice.key)
    ).all()
    by_identity = {_identity(each): each for each in new}
    told = [(row.id, by_identity[row.licensor_id, row.kind, row.key]) for row in rows]
    deliveries = [*_by_webhook(session, told), *(_by_mail(session, told) if mail else ())]
    if deliveries:
        now: datetime = session.execute(select(func.now())).scalar_one()
        session.execute(insert(Delivery), [{**each, "next_attempt_at": now} for each in deliveries])
    return len(told)


def _identity(finding: Finding) -> tuple[int, str, str]:
    return finding.licensor_id, finding.kind.name, finding.key


def _unknown(session: Session, found: dict[tuple[int, str, str], Finding]) -> list[Finding]:
    """Those without a notice, in one order for everybody, so that two sweeps at once wait and never in a circle."""
    if not found:
        return []
    known = select(Notice.licensor_id, Notice.kind, Notice.key).where(
        tuple_(Notice.licensor_id, Notice.kind, Notice.key).in_(list(found))
    )
    told = {(licensor_id, kind, key) for licensor_id, kind, key in session.execute(known)}
    return [found[identity] for identity in sorted(found) if identity not in told]


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "licensor_id": finding.licensor_id,
        "licensee_id": finding.licensee_id,
        "kind": finding.kind.name,
        "key": finding.key,
        "message_id": f"msg_{secrets.token_hex(16)}",
        "for_licensee": finding.kind.for_licensee and finding.licensee_id is not None,
        "data": finding.data,
    }


def _by_webhook(session: Session, told: Sequence[tuple[int, Finding]]) -> Iterator[dict[str, Any]]:
    of_licensor: defaultdict[int, list[WebhookEndpoint]] = defaultdict(list)
    asked = select(WebhookEndpoint).where(
        WebhookEndpoint.active, WebhookEndpoint.licensor_id.in_({each.licensor_id for _, each in told})
    )
    for endpoint in session.scalars(asked.order_by(WebhookEndpoint.id)):
        of_licensor[endpoint.licensor_id].append(endpoint)
    for notice_id, finding in told:
        for endpoint in of_licensor[finding.licensor_id]:
            if hears(endpoint, finding):
                yield _delivery(notice_id, endpoint_id=endpoint.id)


def hears(endpoint: WebhookEndpoint, finding: Finding) -> bool:
    """Whether an endpoint is told of this: a licensee's hears only of what is its own and for its eyes."""
    if endpoint.kinds and finding.kind.name not in endpoint.kinds:
        return False
    if endpoint.licensee_id is None:
        return True
    return endpoint.licensee_id == finding.licensee_id and KINDS[finding.kind.name].for_licensee


def _by_mail(session: Session, told: Sequence[tuple[int, Finding]]) -> Iterator[dict[str, Any]]:
    people = _people(session, {each.licensor_id for _, each in told if each.kind.mail})
    for notice_id, finding in told:
        addresses: dict[str, Tongue] = {}
        pair = (finding.licensor_id, finding.licensee_id or 0)
        if "licensee" in finding.kind.mail:
            addresses |= dict.fromkeys(people.licensees.get(pair, ()), people.tongues.get(pair, ENGLISH))
        if "licensor" in finding.kind.mail and (own := people.licensors.get(finding.licensor_id)):
            addresses.setdefault(own, ENGLISH)
        for address, tongue in addresses.items():
            yield _delivery(notice_id, address=address, tongue=tongue)


def _delivery(
    notice_id: int, *, endpoint_id: int | None = None, address: str = "", tongue: Tongue = ENGLISH
) -> dict[str, Any]:
    language, locale = tongue
    return {
        "notice_id": notice_id,
        "endpoint_id": endpoint_id,
        "address": address,
        "language": language,
        "locale": locale,
    }


def _people(session: Session, licensor_ids: set[int]) -> People:
    """The billing contacts of each account, or the licensee's own address where there are none."""
    licensors = session.execute(select(Licensor.id, Licensor.email).where(Licensor.id.in_(licensor_ids)))
    accounts = session.execute(
        select(
            *(Account.licensor_id, Account.licensee_id, Account.contacts, Account.language, Account.locale),
            Licensee.email,
        )
        .join(Licensee, Licensee.id == Account.licensee_id)
        .where(Account.licensor_id.in_(licensor_ids))
    )
    people = People({id_: email for id_, email in licensors if email}, {}, {})
    for licensor_id, licensee_id, contacts, language, locale, email in accounts:
        written = [contact["email"] for contact in contacts if contact.get("email")] or ([email] if email else [])
        people.licensees[licensor_id, licensee_id] = tuple(dict.fromkeys(written))
        people.tongues[licensor_id, licensee_id] = language, locale
    return people
