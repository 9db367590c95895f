"""Webhook endpoints: added, changed, paused, tested, given another secret; and what became of what was sent there."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.errors import NotFound
from core.notices.deliver import replay_given_up, send_test
from core.notices.endpoints import add_endpoint, change_endpoint, rotate_secret, switch_off, switch_on
from core.notices.kinds import KINDS, TEST
from core.notices.queries import EndpointShown, endpoints_shown
from core.notices.shown import deliveries_asked
from core.notices.tables import Delivery
from core.registry.tables import Account, Licensee
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.pages.settings.deliveries import OF_ENDPOINT
from service.dashboard.pages.settings.router import known_id, router, settings_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import Admin, Clerk, FinanceEyes, FinancePerson, Viewer

KIND_WORDS = {name: kind.said for name, kind in KINDS.items() if kind is not TEST}
REPLAYED_DAYS = 30


@router.get("/webhooks")
def webhooks(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return _shown(request, person, eyes)


@router.post("/webhooks")
def add_webhook(request: Request, person: Admin, eyes: FinanceEyes, form: Filled) -> Response:
    """Tells an address from now on. The secret is on the page that answers."""

    def add(session: Session) -> tuple[int, str]:
        made = add_endpoint(
            session, person.actor, person.licensor_id, url, kinds=kinds, allow_private=_private(request),
            licensee_id=licensees[licensee] if licensee else None,
        )  # fmt: skip
        return made.id, made.secret

    licensees = {slug: id_ for slug, _, id_ in _licensees(eyes)}
    with form:
        url, licensee = form.text("url", most=2_000), form.choice("licensee", ("", *licensees))
        kinds = form.many("kinds", KIND_WORDS)
        form.demand()
        made = act(request, add)
    if form.wrong:
        _at_field(form)
        return _shown(request, person, eyes, form)
    return _one(request, person, eyes, made[0], secret=made[1])


@router.get("/webhooks/{endpoint_id}")
def webhook(request: Request, person: Viewer, eyes: FinanceEyes, endpoint_id: int) -> Response:
    return _one(request, person, eyes, endpoint_id)


@router.post("/webhooks/{endpoint_id}/change")
def change_webhook(request: Request, person: Admin, eyes: FinanceEyes, endpoint_id: int, form: Filled) -> Response:
    """Another address or other kinds, from the next delivery on; the secret stays."""
    _own(eyes, endpoint_id)
    with form:
        url, kinds = form.text("url", most=2_000), form.many("kinds", KIND_WORDS)
        form.demand()
        said: dict[str, Any] = {"url": url, "kinds": kinds, "allow_private": _private(request)}
        act(request, lambda session: change_endpoint(session, endpoint_id, person.actor, **said))
    if form.wrong:
        _at_field(form)
        return _one(request, person, eyes, endpoint_id, form)
    return after(request, f"/settings/webhooks/{endpoint_id}", "Kept. The next delivery goes there.")


@router.post("/webhooks/{endpoint_id}/pause")
def pause_webhook(request: Request, person: Admin, eyes: FinanceEyes, endpoint_id: int, form: Filled) -> Response:
    """Tells it nothing any more; what was on its way is given up, and can be sent again later."""
    _own(eyes, endpoint_id)
    with form:
        reason = form.text("reason", most=1_000)
        form.demand()
        act(request, lambda session: switch_off(session, endpoint_id, person.actor, reason))
    if form.wrong:
        return _one(request, person, eyes, endpoint_id, form)
    return after(request, f"/settings/webhooks/{endpoint_id}", "Paused. Nothing is sent there.", tone="warn")


@router.post("/webhooks/{endpoint_id}/resume")
def resume_webhook(request: Request, person: Admin, eyes: FinanceEyes, endpoint_id: int) -> Response:
    _own(eyes, endpoint_id)
    act(request, lambda session: switch_on(session, endpoint_id, person.actor))
    said = "It is told again. What it missed meanwhile can be sent again below."
    return after(request, f"/settings/webhooks/{endpoint_id}", said)


@router.post("/webhooks/{endpoint_id}/rotate")
def rotate_webhook_secret(request: Request, person: Admin, eyes: FinanceEyes, endpoint_id: int) -> Response:
    """A new secret, on the page that answers. The one before signs as well for a day."""
    _own(eyes, endpoint_id)
    secret = act(request, lambda session: rotate_secret(session, endpoint_id, person.actor).secret)
    return _one(request, person, eyes, endpoint_id, secret=secret, rotated=True)


@router.post("/webhooks/{endpoint_id}/test")
def send_test_to_webhook(request: Request, person: Clerk, eyes: FinanceEyes, endpoint_id: int) -> Response:
    """Puts a test on its way; the delivery's page says what comes of it."""
    _own(eyes, endpoint_id)
    delivery = act(request, lambda session: send_test(session, person.actor, endpoint_id).id)
    return after(request, f"/settings/deliveries/{delivery}", "A test is on its way.")


@router.post("/webhooks/{endpoint_id}/replay")
def replay_missed(request: Request, person: Clerk, eyes: FinanceEyes, endpoint_id: int) -> Response:
    """Sends again what was given up there in the last days."""
    _own(eyes, endpoint_id)
    since = datetime.now(UTC) - timedelta(days=REPLAYED_DAYS)
    sent = act(request, lambda session: replay_given_up(session, person.actor, endpoint_id, since))
    said = f"{len(sent):,} deliveries are on their way again." if sent else "Nothing was given up in these days."
    return after(request, f"/settings/webhooks/{endpoint_id}", said)


def _private(request: Request) -> bool:
    private: bool = request.app.state.settings.allow_private_webhooks
    return private


def _own(eyes: Session, endpoint_id: int) -> EndpointShown:
    """The endpoint, where it is this licensor's. Raises NotFound."""
    found = endpoints_shown(eyes, known_id(endpoint_id))
    if not found:
        raise NotFound("endpoint_not_found", f"there is no endpoint {endpoint_id}")
    return found[0]


def _licensees(eyes: Session) -> list[tuple[str, str, int]]:
    asked = select(Licensee.slug, Licensee.name, Licensee.id).join(Account, Account.licensee_id == Licensee.id)
    return [(slug, name, id_) for slug, name, id_ in eyes.execute(asked.order_by(Licensee.name))]


def _at_field(form: Form) -> None:
    """What the core refuses of an endpoint is its address, all the rest having been chosen from lists."""
    if "" in form.errors:
        form.refuse("url", form.errors.pop(""))


def _shown(request: Request, person: FinancePerson, eyes: Session, form: Form | None = None) -> Response:
    names = [("", "Everything of ours"), *((slug, f"Only what is {name}'s") for slug, name, _ in _licensees(eyes))]
    return settings_page(
        request, "webhooks.html", person, "Webhooks", status=form.status if form else 200, form=form,
        endpoints=endpoints_shown(eyes), kinds=KIND_WORDS, licensees=names,
    )  # fmt: skip


def _one(
    request: Request, person: FinancePerson, eyes: Session, endpoint_id: int, form: Form | None = None, *,
    secret: str = "", rotated: bool = False,
) -> Response:  # fmt: skip
    endpoint = _own(eyes, endpoint_id)
    listed = OF_ENDPOINT.read(request, eyes, deliveries_asked().where(Delivery.endpoint_id == endpoint_id))
    if listed.wants_csv:
        return listed.csv()
    return settings_page(
        request, "webhook.html", person, "Webhooks", status=form.status if form else 200, form=form, endpoint=endpoint,
        listed=listed, kinds=KIND_WORDS, secret=secret, rotated=rotated,
        title=f"Endpoint {endpoint.id}", days=REPLAYED_DAYS,
    )  # fmt: skip
