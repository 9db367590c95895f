"""A year of trade under every scenario file, day by day on a calendar of its own (`calendar_clock.py`).

    with Year(owner_url, seed=7, scenarios=(...)) as year:
        for n in range(13):
            year.month(n)

Platforms report over HTTP (`year_usage.py`); months are closed by the clock's runs and by people's, at once and twice;
Stripe collects on bad days (`year_stripe.py`), banks send files; people hold, release, approve, credit, void and agree.
Whatever is done is written into the story's own books (`year_tally.py`) as it must come out.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, date, datetime, time
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from anyio.from_thread import start_blocking_portal
from sqlalchemy.orm import Session

from config.settings import Settings
from core.actors import Actor
from core.catalogue.apply import apply
from core.catalogue.declare import parse_catalogue
from core.database import make_engine
from core.payments.apply import account_of
from core.payments.collect import collect_by_gateway
from core.period import Period
from core.registry.register import issue_key
from core.signatures import Signer
from service.app import create_app
from tests.door import settings_for
from tests.fakes.stripe_server import StripeServer
from tests.oracle import after_correction
from tests.stories.calendar_clock import CalendarClock
from tests.stories.year_closing import BY_STRIPE, LIMITS, Closing
from tests.stories.year_notices import Notices
from tests.stories.year_stripe import Stripe
from tests.stories.year_tally import Account, Tally
from tests.stories.year_usage import Usage

T = TypeVar("T")
SCENARIOS = Path(__file__).resolve().parents[2] / "config" / "scenarios"
CLARA = Actor("Clara", "clerk")
FIRST = date(2026, 1, 1)
STOPS = (5, 8, 15, 22, 28)  # days of a month at which something is done, at noon UTC
# What the story adds to the terms and accounts of the files, so that everything there is happens to somebody.
TERMS: dict[str, dict[str, Any]] = {
    "anima-flat": {
        "late_interest": {"yearly_percent": "9.5"},
        "payment_days": 14,
        "grace_days": 3,
        "issue": "automatic",
    },
    "stacked-base": {"late_interest": {"yearly_percent": "12"}, "payment_days": 14},
    "sd3-enterprise": {"late_interest": {"yearly_percent": "8"}},
    "flux-builder": {"missing_days": "hold", "grace_days": 2, "issue": "automatic"},
    "prepaid": {"grace_days": 4, "issue": "by_hand"},
}
BILLING: dict[Account, dict[str, Any]] = {
    ("circle", "northlight"): {"tax": {"category": "standard", "rate": "19"}, "purchase_order": "PO-7"},
    ("aspect", "pinecone"): {"tax": {"category": "standard", "rate": "8.1"}},
}
NAMED_LATER = {  # by month: derivatives that were reported before anybody knew them
    2: ("anima-flat", "anima-1", {"slug": "anima-1-neon", "name": "Anima Neon", "kind": "fine-tune"}),
    3: ("stacked", "bedrock-1", {"slug": "bedrock-soft", "name": "Bedrock Soft", "kind": "merge"}),
}


class _Cards(dict[str, str]):
    """Everybody has a card, and every fourth time it is declined."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def get(self, key: str, default: Any = None) -> str:
        return "declined" if self.dice.randrange(4) == 0 else "ok"


class Door:
    """The service on a loop of its own, without a network between."""

    def __init__(self, settings: Settings) -> None:
        self.app = create_app(settings)

    def __enter__(self) -> "Door":
        with ExitStack() as opened:
            self.portal = opened.enter_context(start_blocking_portal())
            running = self.app.router.lifespan_context(self.app)
            opened.enter_context(self.portal.wrap_async_context_manager(running))
            client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://service")
            self.client = opened.enter_context(self.portal.wrap_async_context_manager(client))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def look(self) -> None:
        """Has intake look at the database, and so at its clock; a look that was under way has seen the time before."""
        for _ in range(2):
            self.portal.call(self.app.state.catalogue.look)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        return self.portal.call(partial(self.client.post, path, content=body, headers=headers))


class Year:
    """One database, one service, one Stripe account, and everybody who has to do with them."""

    def __init__(
        self,
        owner_url: str,
        *,
        seed: int,
        scenarios: Sequence[str],
        documents: bool,
        after_close: Callable[["Year", int], None],
    ) -> None:
        self.url, self.seed, self.scenarios, self.documents = owner_url, seed, scenarios, documents
        self.after_close = after_close
        self.dice = random.Random(seed)
        self.tally = Tally()
        self.signer = Signer(bytes(range(32)))
        self.catalogues: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.events: dict[str, list[str]] = {}  # ids that were taken, by licensee, for those who correct them
        self.untouchable: set[tuple[str, date]] = set()  # days of licensees that were agreed on
        self._ids = count(1)
        self._last_report: dict[str, tuple[bytes, Any]] = {}

    def __enter__(self) -> "Year":
        with ExitStack() as opened:
            self.clock = CalendarClock(self.url, datetime(2025, 12, 20, 12, tzinfo=UTC))
            opened.callback(self.clock.close)
            self.engine = make_engine(self.url, pool_size=8)
            opened.callback(self.engine.dispose)
            self.server = opened.enter_context(StripeServer())
            self.server.account.cards = _Cards(random.Random(self.seed + 2))
            for scenario in self.scenarios:
                self._apply(scenario)
            self.stripe = Stripe(self.server, self.engine, self.clock, random.Random(self.seed + 1))
            self.licensees = sorted({licensee for _, licensee in self.tally.zones})
            self.usage = Usage(self.dice, self.licensees, FIRST)
            self._open_accounts()
            self.notices = Notices(self.engine, self.dice)
            settings = settings_for(self.url, stripe_webhook_secret=self.server.webhook_secret)
            self.door = opened.enter_context(Door(settings))
            self.closing = Closing(self)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _apply(self, scenario: str) -> None:
        catalogue = yaml.safe_load((SCENARIOS / f"{scenario}.yaml").read_text(encoding="utf-8"))
        for agreement in catalogue["agreements"]:
            agreement["terms"] |= TERMS.get(agreement["slug"], {})
        for account in catalogue["accounts"]:
            if billing := BILLING.get((account["licensor"], account["licensee"])):
                account["billing"] = billing
        for licensor in catalogue["licensors"]:
            if licensor["slug"] in LIMITS:
                licensor["second_person_above_minor"] = LIMITS[licensor["slug"]]
        self.catalogues[scenario] = catalogue
        self.apply(catalogue)
        self.tally.applied(catalogue)

    def apply(self, catalogue: Mapping[str, Any]) -> None:
        """What `perimage apply` does."""
        self.act(lambda session: apply(session, parse_catalogue(dict(catalogue)), self.clock.now.date()))

    def _open_accounts(self) -> None:
        with Session(self.engine) as session:
            for licensee in self.licensees:
                self.keys[licensee] = issue_key(session, licensee, "meter", FIRST, "its meter reports late")
                self.events[licensee] = []
            for account, collection in BY_STRIPE.items():
                if account in self.tally.zones:
                    ids, email = account_of(session, *account), f"pay@{account[1]}.example"
                    collect_by_gateway(session, CLARA, *ids, collection=collection, email=email)
            session.commit()

    # Time

    def month(self, n: int) -> None:
        """Everything of the n-th month: its usage, and on its first days the close of the month before."""
        month = self.period(n)
        self.usage.month(n, month.start, month.end)
        for stop in STOPS:
            self.at(month.start.replace(day=stop))
            if stop == STOPS[0] and n:
                self.closing.close(n - 1)
                self.after_close(self, n - 1)
            self._report(n, stop)
            self.closing.people(n, stop)
            self._every_time(stop)

    def last_close(self, n: int) -> None:
        """The first days after the n-th month, in which it is closed and nobody reports any more."""
        for stop in STOPS:
            self.at(self.period(n).end.replace(day=stop))
            if stop == STOPS[0]:
                for licensee in self.licensees:
                    self._post(licensee, self.usage.until(licensee, self.clock.now))
                self.closing.close(n)
                self.after_close(self, n)
            self._every_time(stop)

    def _every_time(self, stop: int) -> None:
        self.closing.money()
        self.closing.look_for_overdue()
        self.notices.find(again=stop == STOPS[0])
        if stop == STOPS[-1]:
            self.notices.deliver()

    @staticmethod
    def period(n: int) -> Period:
        return Period.month(f"{FIRST.year + n // 12}-{n % 12 + 1:02}")

    def at(self, day: date) -> None:
        """It is noon of a day, or later if something took long."""
        self.clock.set(max(self.clock.now, datetime.combine(day, time(12), UTC)))
        self.door.look()

    def act(self, verb: Callable[[Session], T]) -> T:
        """One verb, committed."""
        with Session(self.engine, expire_on_commit=False) as session:
            done = verb(session)
            session.commit()
        return done

    def both(self, verb: Callable[[Session], T]) -> list[T]:
        """The same twice at once."""
        with ThreadPoolExecutor(2) as pool:
            return [each.result() for each in [pool.submit(self.act, verb) for _ in range(2)]]

    # Usage

    def _report(self, n: int, stop: int) -> None:
        late = self.usage.late(n) if stop == 15 else []
        for licensee in self.licensees:
            self._post(licensee, self.usage.until(licensee, self.clock.now))
            self._again(licensee)
            self._post(licensee, [event for whose, event in late if whose == licensee])
            if stop == 22:
                self._correct(licensee)
        if stop == 8 and n in NAMED_LATER and NAMED_LATER[n][0] in self.catalogues:
            scenario, base, derivative = NAMED_LATER[n]
            [model] = [one for one in self.catalogues[scenario]["models"] if one["slug"] == base]
            model["derivatives"].append(derivative)
            self.apply(self.catalogues[scenario])
            self.tally.named(derivative["slug"], base)

    def _post(self, licensee: str, events: Sequence[dict[str, Any]]) -> None:
        if not events:
            return
        body = json.dumps({"report_id": f"report-{next(self._ids)}", "events": list(events)}).encode()
        answer = self._send(licensee, "/v1/usage-reports", body)
        assert {result["status"] for result in answer["results"]} <= {"accepted", "held"}, answer
        for event in events:
            self.tally.used(licensee, event)
            self.events[licensee].append(event["event_id"])
        self._last_report[licensee] = body, answer["results"]

    def _again(self, licensee: str) -> None:
        """The last report once more, byte for byte; an event of it in another one; and one that says something else."""
        if licensee not in self._last_report or self.dice.randrange(3):
            return
        body, results = self._last_report[licensee]
        assert self._send(licensee, "/v1/usage-reports", body)["results"] == results
        event = json.loads(body)["events"][0]
        other = {**event, "image_count": event["image_count"] + 1}
        for said, status in ((event, "duplicate"), (other, "conflict")):
            again = json.dumps({"report_id": f"report-{next(self._ids)}", "events": [said]}).encode()
            [result] = self._send(licensee, "/v1/usage-reports", again)["results"]
            assert result["status"] == status, result

    def _correct(self, licensee: str) -> None:
        """Some events were not what they said: each correction is sent twice."""
        for event_id in self.dice.sample(self.events[licensee], min(2, len(self.events[licensee]))):
            event = self.tally.events[licensee, event_id]
            if (licensee, date.fromisoformat(event["occurred_at"][:10])) in self.untouchable:
                continue
            kind = self.dice.choice(("withdraw", "amend"))
            more = {"image_count": self.dice.randint(0, 2 * event["image_count"] + 1)} if kind == "amend" else {}
            after = after_correction(event["image_count"], kind, **more)
            said = {"correction_id": f"correction-{next(self._ids)}", "event_id": event_id, "kind": kind, **more}
            body = json.dumps({"corrections": [{**said, "reason": "counted wrongly"}]}).encode()
            [first] = self._send(licensee, "/v1/corrections", body)["results"]
            assert (first["status"] == "accepted") == (after is not None), (first, event, said)
            if after is not None:
                [second] = self._send(licensee, "/v1/corrections", body)["results"]
                assert second["status"] == "duplicate"
                self.tally.corrected(licensee, event_id, after)

    def _send(self, licensee: str, path: str, body: bytes) -> Any:
        headers = {"Authorization": f"Bearer {self.keys[licensee]}", "Content-Type": "application/json"}
        answer = self.door.post(path, body, headers)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    def webhook(self, body: bytes, headers: dict[str, str]) -> int:
        """An event of Stripe's at our door; its status."""
        return int(self.door.post("/v1/stripe/webhooks", body, headers).status_code)
