"""Who is in the demo's world: the licensor's people, the licensees, and what the invented ones make in a month.

Three licensees are the platforms of the input file (`traffic.py`). The others are there because something happens to
them that a page has to show; their months are round figures that grow.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from core.period import Period
from service.cli.demo.plan import Plan
from service.cli.demo.traffic import SHARES, Event, by_day, daily_events_of, scaled, split

LICENSOR = "open-weights-guild"
FINANCE = {  # name: (e-mail, what people call them, role)
    "ada": ("ada@guild.example", "Ada Lindqvist", "admin"),
    "arne": ("arne@guild.example", "Arne Vogel", "approver"),
    "carla": ("carla@guild.example", "Carla Reyes", "clerk"),
    "vera": ("vera@guild.example", "Vera Okafor", "viewer"),
}
MANAGERS = {  # licensee: (e-mail, name)
    "brightforge": ("mia@brightforge.example", "Mia Byrne"),
    "palette-works": ("paul@palette.example", "Paul Whitaker"),
    "tinybrush": ("tove@tinybrush.example", "Tove Lund"),
    "lumenkit": ("lena@lumenkit.example", "Lena Hartmann"),
    "kumo-canvas": ("kenji@kumo.example", "Kenji Mori"),
    "northlight": ("noor@northlight.example", "Noor Haddad"),
    "pixelmill": ("pita@pixelmill.example", "Pita Ranui"),
    "sketchbay": ("sofia@sketchbay.example", "Sofia Marques"),
    "driftwood": ("dana@driftwood.example", "Dana Cole"),
}
VIEWERS = {"palette-works": ("vic@palette.example", "Vic Tran")}  # who may look and not act


@dataclass(frozen=True, slots=True)
class Use:
    """One thing that a licensee makes images with: under which name it reports it, and its part of the whole."""

    model: str
    part: int
    plan: str = ""
    adapters: tuple[str, ...] = ()
    since: int = 99  # months before the last one; later than that it is not used yet


@dataclass(frozen=True, slots=True)
class Member:
    """An invented licensee: its images in the last month, their growth per mille a month, and what they are made with.

    `times` multiplies single months, by how many months they lie back; `silent` are days of a month without a report.
    """

    image_count: int
    growth: int
    uses: tuple[Use, ...]
    times: dict[int, int] = field(default_factory=dict)
    silent: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def events(self, month: Period, months_back: int) -> Iterator[Event]:
        """What it reports of a month, model by model and day by day."""
        images = scaled(self.image_count, self.growth, months_back) * self.times.get(months_back, 1)
        uses = [use for use in self.uses if use.since >= months_back]
        silent = {str(month.start + timedelta(days=number - 1)) for number in self.silent.get(months_back, ())}
        for use, count in zip(uses, split(images, [use.part for use in uses]), strict=True):
            for made in by_day(use.model, count, month, plan=use.plan, adapters=use.adapters):
                if made["event_id"][:10] not in silent:
                    yield made


UNKNOWN = "sd-turbo-nightly"  # a name that nobody has registered
MALFORMED = "urn:air:Lantern:lora:civitai:9917"  # looks like an AIR and is none
CAST: dict[str, Member] = {
    "lumenkit": Member(
        240_000,
        50,
        (
            Use("lantern-xl", 46, "pro"),
            Use("lantern-portrait", 22, "pro"),
            Use("lantern-night-anime", 10, "free"),
            Use("lantern-xl", 14, "pro", ("grain",)),
            Use("urn:air:lantern:checkpoint:civitai:812345@901234", 8, "pro", since=1),
        ),
    ),
    "kumo-canvas": Member(520_000, 35, (Use("anything-diffusion", 60, "app"), Use("counterfeit", 40, "app"))),
    "northlight": Member(
        310_000,
        30,
        (
            Use("stable-diffusion", 62, "studio"),
            Use("project-unreal-engine-5", 33, "studio"),
            Use(UNKNOWN, 4, "studio", since=0),
            Use(MALFORMED, 1, "studio", since=-1),
        ),
        silent={0: (11, 12)},
    ),
    "pixelmill": Member(372_000, 40, (Use("stable-diffusion", 70, "api"), Use("anything-diffusion", 30, "api"))),
    "sketchbay": Member(
        90_000,
        60,
        (Use("stable-diffusion-2-1", 70, "free"), Use("realism-engine", 30, "paid")),
        times={0: 5},
    ),
    "driftwood": Member(
        24_000, 80, (Use("stable-diffusion", 60, "beta", since=0), Use("lantern-xl", 40, "beta", since=0))
    ),
}
LICENSEES = (*SHARES, *CAST)


def month_of(licensee: str, month: Period, plan: Plan) -> list[Event]:
    """A licensee's month by the day, in the order of the days."""
    back = plan.months_back(month)
    events = CAST[licensee].events(month, back) if licensee in CAST else daily_events_of(licensee, month, back)
    return sorted(events, key=lambda made: str(made["occurred_at"]))
