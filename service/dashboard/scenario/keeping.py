"""Scenarios that are kept: saved under a name, opened again, shared within the house, deleted by whose they are."""

from fastapi import Request
from starlette.responses import Response

from core.scenarios.queries import saved_scenario
from core.scenarios.save import Owner, delete_scenario, save_scenario
from service.dashboard.acting import act
from service.dashboard.form import Form
from service.dashboard.rendering import after
from service.dashboard.scenario.asked import FIELDS
from service.dashboard.scenario.shown import Desk, asked_in, whole_page

SHARINGS = ("own", "link", "party")


def save(request: Request, desk: Desk, form: Form) -> Response:
    """Keeps what the form holds; under the key of one's own scenario, as its next version."""
    said = {name: form.said(name) for name in FIELDS if form.has(name)}
    asked = asked_in(desk, Form(said))
    with form:
        name, sharing = form.text("name", most=120), form.choice("sharing", SHARINGS, "own")
        if asked is None:
            form.refuse("", "these figures cannot be kept: see what is wrong with them")
        form.demand()
        assert asked is not None  # noqa: S101 - demanded
        key = form.said("key") if form.flag("again") else ""
        parameters = asked.parameters()
        made = act(
            request,
            lambda session: save_scenario(session, _owner(desk), name, parameters, sharing=sharing, key=key).key,
        )
    if form.wrong:
        return whole_page(request, desk, said, form)
    return after(request, f"{desk.home}/saved/{made}", f"Saved as {name}.")


def opened(request: Request, desk: Desk, key: str) -> Response:
    """A saved scenario, answered by the terms and the counts of today."""
    found = saved_scenario(desk.eyes, desk.person.email, key)
    return whole_page(request, desk, {**found.parameters, "saved": found.key})


def delete(request: Request, desk: Desk, key: str) -> Response:
    saved_scenario(desk.eyes, desk.person.email, key)  # NotFound unless it is theirs to see
    name = act(request, lambda session: delete_scenario(session, _owner(desk), key))
    return after(request, desk.home, f"{name} is deleted.")


def _owner(desk: Desk) -> Owner:
    person = desk.person
    if person.side == "portal":
        return Owner(person.email, licensee_id=person.licensee_id)
    return Owner(person.email, licensor_id=person.licensor_id)
