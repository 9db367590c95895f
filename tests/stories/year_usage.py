"""What the platforms of a year use, from a seed: by the day, some of it late, some under names nobody knows yet."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

DAY = timedelta(days=1)
LATE_IN_100 = 6
PLANS = ("", "free", "pro")


@dataclass(frozen=True)
class Habit:
    """Something that a licensee makes images with nearly every day, and between how many it makes."""

    model: str
    least: int
    most: int
    adapters: tuple[str, ...] = ()


HABITS: dict[str, tuple[Habit, ...]] = {
    "northlight": (
        Habit("anima-1", 200, 4_000),
        Habit("anima-1-watercolour", 50, 900),
        Habit("anima-1", 10, 700, ("anima-1-linework",)),
        Habit("anima-1-neon", 1, 300),  # nobody knows it until it is registered
    ),
    "bluebird": (Habit("openfield-flow", 10, 5_000),),
    "thistle": (Habit("vantage-2-dev", 50, 600),),
    "pinecone": (Habit("aspect-1-dev", 1_000, 6_500),),
    "copperleaf": (Habit("lantern-xl", 3_000, 18_000),),
    "marigold": (Habit("keystone-3-medium", 20, 350),),
    "harbour": (Habit("meridian-3", 40_000, 170_000),),
    "saltmarsh": (Habit("commonfield-large", 5, 2_000),),
    "eastgate": (
        Habit("bedrock-1", 100, 3_000),
        Habit("rowan-portraits", 10, 900),
        Habit("rowan-portraits", 1, 77, ("quill-ink",)),
        Habit("bedrock-1", 1, 250, ("quill-ink", "nobody-knows-this-one")),
        Habit("bedrock-soft", 1, 200),  # the same
    ),
}
SILENT = {
    ("bluebird", 1): range(10, 13),
    ("thistle", 1): range(5, 9),
    ("saltmarsh", 3): range(1, 29),
}  # days of month n


class Usage:
    """The events of a year, handed out when their platform reports them."""

    def __init__(self, dice: random.Random, licensees: Sequence[str], first: date) -> None:
        self.dice, self.licensees, self.first = dice, licensees, first
        self._waiting: dict[str, list[dict[str, Any]]] = {licensee: [] for licensee in licensees}
        self._late: defaultdict[int, list[tuple[str, dict[str, Any]]]] = defaultdict(list)

    def month(self, n: int, start: date, end: date) -> None:
        """Makes the n-th month, before it begins."""
        for licensee in self.licensees:
            day, number = start, 0
            while day < end:
                for habit in HABITS[licensee]:
                    if day.day in SILENT.get((licensee, n), ()) or self.dice.randrange(100) < 40:
                        continue
                    number += 1
                    event = self._event(f"{licensee}-{day:%Y%m}-{number}", habit, day)
                    if self.dice.randrange(100) < LATE_IN_100:
                        self._late[n + self.dice.randint(1, 3)].append((licensee, event))
                    else:
                        self._waiting[licensee].append(event)
                day += DAY

    def until(self, licensee: str, now: datetime) -> list[dict[str, Any]]:
        """What the platform has made by now and not reported yet."""
        mine = self._waiting[licensee]
        made = [event for event in mine if datetime.fromisoformat(event["occurred_at"]) < now]
        self._waiting[licensee] = [event for event in mine if event not in made]
        return made

    def late(self, n: int) -> list[tuple[str, dict[str, Any]]]:
        """What is reported only in the n-th month, one to three months late."""
        return self._late.pop(n, [])

    def _event(self, id_: str, habit: Habit, day: date) -> dict[str, Any]:
        moment = datetime.combine(day, time(), UTC) + timedelta(seconds=self.dice.randrange(86_400))
        made: dict[str, Any] = {
            "event_id": id_,
            "model": habit.model,
            "image_count": self.dice.randint(habit.least, habit.most),
            "occurred_at": moment.isoformat().replace("+00:00", "Z"),
        }
        plan = self.dice.choice(PLANS)
        return made | ({"adapters": list(habit.adapters)} if habit.adapters else {}) | ({"plan": plan} if plan else {})
