"""Webhook endpoints: add, list, change, switch off and on, a new secret. Every change is in the audit log."""

import base64
import secrets
from collections.abc import Collection
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.actors import SYSTEM, Actor
from core.audit.record import record
from core.errors import InvalidInput, NotFound
from core.notices.addresses import is_public
from core.notices.kinds import check_kinds
from core.notices.tables import Delivery, WebhookEndpoint
from core.registry.tables import Account

MAX_URL = 2000
FORMER_SIGNS = timedelta(hours=24)  # how long the secret before still signs beside a new one
_SECRET_BYTES = 32


def new_secret() -> str:
    """A secret as Standard Webhooks writes them."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def check_url(url: str, *, allow_private: bool = False) -> str:
    """The address, if webhooks may be sent there. Names are looked up, and judged, at each delivery."""
    bad = InvalidInput("bad_url", f"an endpoint is an https address of at most {MAX_URL} characters, such as "
                       "https://billing.example.com/hooks")  # fmt: skip
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise bad
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise bad from None
    if parts.scheme not in (("https", "http") if allow_private else ("https",)) or not host:
        raise bad
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidInput("bad_url", "an endpoint's address holds neither user, password nor #: use the secret")
    if not allow_private and (host == "localhost" or _is_literal(host)) and not is_public(host):
        raise InvalidInput("private_address", f"{host} is not a public address: webhooks go to public ones only")
    return url


def add_endpoint(
    session: Session,
    by: Actor,
    licensor_id: int,
    url: str,
    *,
    kinds: Collection[str] = (),
    licensee_id: int | None = None,
    allow_private: bool = False,
) -> WebhookEndpoint:
    """Tells this address from now on: of everything, or of these kinds; with a licensee, only of what is theirs."""
    by.demand("admin", "add a webhook endpoint")
    check_url(url, allow_private=allow_private)
    if licensee_id is not None:
        _demand_account(session, licensor_id, licensee_id)
    endpoint = WebhookEndpoint(
        licensor_id=licensor_id, licensee_id=licensee_id, url=url, secret=new_secret(), kinds=check_kinds(kinds)
    )
    session.add(endpoint)
    session.flush()
    _log(session, endpoint, by, "added")
    return endpoint


def endpoints(session: Session, licensor_id: int | None = None) -> list[WebhookEndpoint]:
    """All endpoints, or those of one licensor, oldest first."""
    asked = select(WebhookEndpoint).order_by(WebhookEndpoint.id)
    if licensor_id is not None:
        asked = asked.where(WebhookEndpoint.licensor_id == licensor_id)
    return list(session.scalars(asked.execution_options(populate_existing=True)))


def locked_endpoint(session: Session, endpoint_id: int) -> WebhookEndpoint:
    """The endpoint, kept from others until the transaction ends. New deliveries to it need not wait for that."""
    found = session.get(WebhookEndpoint, endpoint_id, with_for_update={"key_share": True}, populate_existing=True)
    if found is None:
        raise NotFound("endpoint_not_found", f"there is no endpoint {endpoint_id}: see `perimage notices endpoints`")
    return found


def switch_off(session: Session, endpoint_id: int, by: Actor, reason: str) -> bool:
    """Tells it nothing any more; what was on its way is given up, to be replayed later. False if it was off already."""
    if by != SYSTEM:
        by.demand("admin", "switch a webhook endpoint off")
    endpoint = locked_endpoint(session, endpoint_id)
    if not reason.strip() or len(reason) > MAX_URL or not reason.isprintable():
        raise InvalidInput("reason_missing", "say why in one line: this is kept with the endpoint")
    if not endpoint.active:
        return False
    endpoint.active, endpoint.off_reason = False, reason
    session.execute(
        update(Delivery)
        .where(Delivery.endpoint_id == endpoint_id, Delivery.state == "waiting")
        .values(state="given_up", last_said="the endpoint was switched off", leased_until=None)
    )
    session.flush()
    _log(session, endpoint, by, "switched_off", reason)
    return True


def switch_on(session: Session, endpoint_id: int, by: Actor) -> None:
    """Tells it again. What was given up meanwhile stays so until it is replayed."""
    by.demand("admin", "switch a webhook endpoint on")
    endpoint = locked_endpoint(session, endpoint_id)
    endpoint.active, endpoint.off_reason, endpoint.give_ups = True, "", 0
    session.flush()
    _log(session, endpoint, by, "switched_on")


def change_endpoint(
    session: Session,
    endpoint_id: int,
    by: Actor,
    *,
    url: str | None = None,
    kinds: Collection[str] | None = None,
    allow_private: bool = False,
) -> WebhookEndpoint:
    """Another address, or other kinds, from the next delivery on; what is left out stays."""
    by.demand("admin", "change a webhook endpoint")
    endpoint = locked_endpoint(session, endpoint_id)
    if url is not None:
        endpoint.url = check_url(url, allow_private=allow_private)
    if kinds is not None:
        endpoint.kinds = check_kinds(kinds)
    session.flush()
    _log(session, endpoint, by, "changed")
    return endpoint


def rotate_secret(session: Session, endpoint_id: int, by: Actor) -> WebhookEndpoint:
    """Signs with a new secret, and for a day with the old one as well, so that a receiver can change over in peace."""
    by.demand("admin", "give a webhook endpoint a new secret")
    endpoint = locked_endpoint(session, endpoint_id)
    endpoint.former_secret, endpoint.secret = endpoint.secret, new_secret()
    endpoint.former_until = session.execute(select(func.now() + FORMER_SIGNS)).scalar_one()
    session.flush()
    _log(session, endpoint, by, "secret_changed")
    return endpoint


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _demand_account(session: Session, licensor_id: int, licensee_id: int) -> None:
    asked = select(Account.id).where(Account.licensor_id == licensor_id, Account.licensee_id == licensee_id)
    if session.scalar(asked) is None:
        raise NotFound("no_account", "these two have no account with each other")


def _log(session: Session, endpoint: WebhookEndpoint, by: Actor, what: str, reason: str = "") -> None:
    """The address may hold a token of the receiver's, so only its host is written down."""
    detail = {"host": urlsplit(endpoint.url).hostname or "", **({"reason": reason} if reason else {})}
    record(session, endpoint.licensor_id, by, f"webhook.{what}", subject=f"webhook {endpoint.id}", detail=detail)
