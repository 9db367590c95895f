"""The demo's world, in the order in which it came about: the past, the last month and its end, and the present.

    world = build_world(database_url, months=3)     everything, without a service or a worker, for tests and pictures

`perimage demo` makes the same world around a running stack: it writes the past and the running month by this module,
and has the last month reported over HTTP and billed by the workers in between.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from core.accruals.accrue import accrue_due
from core.period import Period
from core.signatures import SEED_BYTES, Signer
from service.cli.demo import claims, hooks, receipts, scenario, usage
from service.cli.demo.cast import CAST, FINANCE, LICENSEES, LICENSOR, MANAGERS, VIEWERS
from service.cli.demo.clock import past_clock
from service.cli.demo.month_end import approve_and_issue, release_and_issue, run_month
from service.cli.demo.people import add_people, new_password
from service.cli.demo.plan import MONTHS, Plan, moment
from service.cli.demo.scene import Scene, finance
from service.cli.demo.traffic import SHARES

RUN_DAY, STATEMENT_DAY, CERTIFIED_DAY, VOID_DAY = 1, 2, 5, 3  # of the month after, from 0
DISPUTE_DAY, SETTLED_DAY, TOLD_DAY, CREDIT_DAY = 6, 6, 7, 13
ATTESTED_MONTHS = TOLD_MONTHS = 3  # months back, from when on statements are made and notices told

Step = Callable[[str, int, int], None]  # what is done, which step it is, of how many


@dataclass(frozen=True)
class World:
    """A world that was made: when it is, who may sign in, and with what licensees report."""

    plan: Plan
    password: str
    keys: dict[str, str]
    licensor: str = LICENSOR
    people: dict[str, str] = field(default_factory=lambda: {name: email for name, (email, _, _) in FINANCE.items()})
    managers: dict[str, str] = field(default_factory=lambda: {slug: email for slug, (email, _) in MANAGERS.items()})
    viewers: dict[str, str] = field(default_factory=lambda: {slug: email for slug, (email, _) in VIEWERS.items()})


def build_world(
    database_url: str,
    *,
    owner_url: str = "",
    months: int = MONTHS,
    today: date | None = None,
    password: str | None = None,
    signer: Signer | None = None,
    step: Step = lambda *_: None,
) -> World:
    """Makes the whole world in an empty, migrated database, up to a month's end that waits for people.

    `months` is how many there are before the last one. Nothing else has to run.
    """
    plan = Plan.on(today or datetime.now(UTC).date(), months)
    with hooks.receiver() as address, scene_in(database_url, owner_url, plan, password, signer) as scene:
        write_past(scene, address, step)
        write_last_month(scene, SHARES)
        scene.at(None)
        run_month(scene, plan.last, finance("arne"))
        write_present(scene)
        return world_of(scene)


@contextmanager
def scene_in(
    database_url: str, owner_url: str, plan: Plan, password: str | None = None, signer: Signer | None = None
) -> Iterator[Scene]:
    """Where a world is made. The database has its own time back when it ends."""
    with past_clock(owner_url or database_url, database_url) as clock:
        signing = signer or Signer(secrets.token_bytes(SEED_BYTES))
        yield Scene(plan, clock, signing, password or new_password())


def world_of(scene: Scene) -> World:
    """What whoever uses the world has to know of it."""
    return World(scene.plan, scene.password, dict(scene.keys))


def write_past(scene: Scene, receiver: str, step: Step) -> None:
    """Everything up to the beginning of the last month, and what happened in it to the months before."""
    plan = scene.plan
    steps = len(plan.history) + 1
    step("setting up", 0, steps)
    scenario.apply_catalogue(scene)
    add_people(scene)
    hooks.add_receiver(scene, receiver)
    scenario.change_terms(scene)
    for number, month in enumerate(plan.history, start=1):
        step(f"writing {month.name}", number, steps)
        usage.report_past(scene, month)
        end_month(scene, month)
    step("writing the past", steps, steps)


def end_month(scene: Scene, month: Period) -> None:
    """A month of the past: billed on the second of the next, attested, paid; and what went wrong with it."""
    plan = scene.plan
    back = plan.months_back(month)

    def day(number: int) -> date:
        return month.end + timedelta(days=number)

    scene.count()
    scene.at(moment(day(RUN_DAY)))
    run_month(scene, month, finance("arne"))
    scene.at(moment(day(RUN_DAY), 11))
    approve_and_issue(scene, month)
    release_and_issue(scene, month)
    attested = back <= ATTESTED_MONTHS
    if attested:
        claims.make_statements(scene, month, day(STATEMENT_DAY))
    wrong = month == plan.earlier(2)
    if wrong:
        claims.void_and_issue_again(scene, month, day(VOID_DAY))
    if attested:
        claims.certify_statements(scene, month, day(CERTIFIED_DAY), but=("sketchbay",) if wrong else ())
    _dispute(scene, month, day)
    if back <= TOLD_MONTHS:
        scene.at(moment(day(TOLD_DAY)))
        hooks.tell(scene)
    if month == plan.earlier(3):
        claims.give_credit(scene, month, day(CREDIT_DAY))
    receipts.receive(scene, month)


def _dispute(scene: Scene, month: Period, day: Callable[[int], date]) -> None:
    """What the licensees did not agree with: one that was settled, one that is open."""
    if month == scene.plan.earlier(2):
        reason = "our log has fewer images for that day: retries were counted"
        dispute_id = claims.dispute_line(scene, "sketchbay", month, day(DISPUTE_DAY), reason)
        claims.settle_dispute(scene, "sketchbay", dispute_id, day(SETTLED_DAY))
    if month == scene.plan.earlier(1):
        claims.dispute_line(scene, "lumenkit", month, day(DISPUTE_DAY), "a load test of ours was counted")
        reason = "the images of one day are disputed: see the statement"
        claims.dispute_an_invoice(scene, "demo-lantern-tiers", month, day(DISPUTE_DAY), reason)
        claims.withdraw_events(scene, month, day(SETTLED_DAY))


def write_last_month(scene: Scene, platforms: dict[str, int]) -> None:
    """The last month of the invented licensees; and of the platforms of the file, unless they report it by HTTP."""
    usage.report_past(scene, scene.plan.last, [slug for slug in LICENSEES if slug in CAST or slug in platforms])
    usage.say_zero(scene)
    scene.count()


def write_present(scene: Scene) -> None:
    """The running month and what waits for somebody in it; call it when the last month has been billed."""
    plan = scene.plan
    scenario.sign_what_comes(scene)
    usage.report_running(scene)
    usage.repeat_without_ids(scene)
    scene.count()
    scene.at(moment(max(plan.this.start + timedelta(days=1), plan.today - timedelta(days=2)), 12))
    hooks.add_dead_end(scene)
    receipts.leave_rows_open(scene, max(plan.this.start, plan.today - timedelta(days=1)))
    scene.at(None)
    hooks.tell(scene)
    with scene.session() as session:
        accrue_due(session)
