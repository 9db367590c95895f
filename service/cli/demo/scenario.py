"""Chapter: what is agreed. The catalogue with its days moved to this calendar, and what has happened to it since."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import yaml

from core.agreements.amend import amend
from core.agreements.clauses import Terms, Tier
from core.agreements.documents import Consent, Signature
from core.agreements.queries import agreement_named, agreement_versions
from core.agreements.sign import sign_as
from core.catalogue.apply import apply
from core.catalogue.declare import parse_catalogue
from core.registry.keys import parse_key
from core.registry.register import issue_key, revoke_key
from service.cli.demo.cast import FINANCE, LICENSEES, MANAGERS
from service.cli.demo.plan import Plan, moment, moved
from service.cli.demo.scene import Scene
from service.cli.demo.traffic import DEMO_FILES, figures

BEFORE_THE_START = timedelta(days=20)
WHY_SO_OLD = "the demo's months before this one"


def apply_catalogue(scene: Scene) -> None:
    """The scenario, with every fine-tuned model of the file as a derivative of its base family; and a meter key for
    each licensee. It happens some days before the first month begins."""
    signed_on = scene.plan.history[0].start - BEFORE_THE_START
    scene.at(moment(signed_on))
    with scene.session() as session:
        apply(session, parse_catalogue(catalogue(scene.plan)), signed_on)
        for licensee in LICENSEES:
            scene.keys[licensee] = issue_key(session, licensee, "meter", scene.plan.history[0].start, WHY_SO_OLD)


def catalogue(plan: Plan) -> dict[str, Any]:
    """The catalogue's document, as it stands on the first day of the plan."""
    document: dict[str, Any] = yaml.safe_load((DEMO_FILES / "catalogue.yaml").read_text())
    first = plan.history[0].start
    for agreement in document["agreements"]:
        for key in ("starts_on", "ends_on"):
            agreement[key] = moved(agreement[key], plan.moved_by)
        agreement["starts_on"] = max(agreement["starts_on"], first)
    for model in document["models"]:
        found = [
            {"slug": figure.slug, "name": figure.name, "kind": "fine-tune", "owes": "base"}
            for figure in figures()
            if figure.family == model["slug"]
        ]
        model["derivatives"] = model.get("derivatives", []) + found
    return document


def change_terms(scene: Scene) -> None:
    """A price that changed some months ago."""
    month = scene.plan.earlier(3)
    if month == scene.plan.history[0]:
        return
    agreed = partial(_repriced, rate=Decimal(8))
    why = "a lower price for a longer term"
    _amend(scene, "sketchbay", "demo-sketchbay", month.start - timedelta(days=12), month.start, agreed, why)


def sign_what_comes(scene: Scene) -> None:
    """Present matters: an amendment that comes in force, a draft that one side has signed, keys that come and go."""
    plan = scene.plan
    today = plan.this.start + timedelta(days=1)
    agreed = partial(_repriced, rate=Decimal("0.007"))
    why = "above 100,000 images a month the price goes down"
    _amend(scene, "lumenkit", "demo-lantern-tiers", today, plan.this.end, agreed, why)
    with scene.session() as session:
        signature = Signature("licensee", MANAGERS["driftwood"][1], today)
        sign_as(session, "demo-driftwood", signature)
    with scene.session() as session:
        old = parse_key(issue_key(session, "lumenkit", "meter of the old cluster"))
        assert old is not None  # noqa: S101 - it was made a moment ago
        revoke_key(session, old[0])
        issue_key(session, "pixelmill", "trial of the new region", expires_at=moment(plan.today + timedelta(days=9)))


def _amend(  # noqa: PLR0917 - what both sides sign, when, and from when on it holds
    scene: Scene, licensee: str, slug: str, today: date, on: date, agreed: Callable[[Terms], Terms], why: str
) -> None:
    """An amendment that both sides sign today: the terms as they stand, changed by `agreed`."""
    scene.at(moment(today, 15))
    theirs = Signature("licensee", MANAGERS[licensee][1], today)
    consent = Consent((Signature("licensor", FINANCE["ada"][1], today), theirs), why)
    with scene.session() as session:
        versions = agreement_versions(session, agreement_named(session, slug).id)
        amend(session, slug, on, agreed(versions[-1][1]), consent)


def _repriced(terms: Terms, rate: Decimal) -> Terms:
    """The same with another price: of the last tier of the first fee."""
    first, *others = terms.fees
    tiers = (*first.schedule.tiers[:-1], Tier(None, rate))
    return replace(terms, fees=(replace(first, schedule=replace(first.schedule, tiers=tiers)), *others))
