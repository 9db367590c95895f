"""AIRs that nobody registered: counted by a guess, listed, and moved only on somebody's word that is written down."""

from collections import Counter, defaultdict
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from core.database import licensee_eyes
from core.errors import Conflict, InvalidInput, NotFound
from core.registry.tables import ModelName
from core.usage.counts.review import re_resolve, review
from core.usage.counts.rollup import rebuild
from core.usage.counts.verify import verify_rollup
from core.usage.intake.report import OUTPUTS
from core.usage.tables import ReResolution
from tests.core.usage.counts.test_rollup import counts, rolled
from tests.trade import Trade, forget_everything

FAMILY = "urn:air:sd1:checkpoint:civitai:1@2"
INK = "urn:air:sd1:lora:civitai:10@1"
TUNE = "urn:air:sd1:checkpoint:civitai:20@1"
AT = "2026-10-02T00:00Z"
DAY = date(2026, 10, 2)


def name(trade: Trade, given_name: str, slug: str) -> None:
    trade.session.add(ModelName(name=given_name, model_id=trade.model(slug).id))
    trade.session.flush()


def by_slug(trade: Trade, rule: str | None = None) -> dict[str, int]:
    slugs = {model.id: slug for slug, model in trade.models.items()}
    found: Counter[str] = Counter()
    for (_, model_id, _), images in counts(trade.session, rule).items():
        found[slugs[model_id]] += images
    return dict(found)


@pytest.fixture
def trade(session: Session) -> Trade:
    """A base whose ecosystem is known, a fine-tune and a LoRA of it."""
    made = Trade(session)
    made.model("sd-1")
    made.model("tune", bases=["sd-1"], owes="own")
    made.model("ink", bases=["sd-1"], owes="own")
    name(made, FAMILY, "sd-1")
    return made


def test_an_unknown_air_of_a_known_ecosystem_is_counted_for_the_base_and_listed(trade: Trade) -> None:
    trade.use(TUNE, 5, AT)
    rolled(trade.session)
    trade.use(TUNE, 2, AT, adapters=[INK])
    trade.use(TUNE, 3, AT)
    rolled(trade.session)
    assert by_slug(trade) == {"sd-1": 10}
    found = review(trade.session)
    assert found.held == [] and found.complete
    assert [(each.name, each.counted_for, each.registered_as, each.image_count, each.event_count)
            for each in found.unreviewed] == [(TUNE, "sd-1", None, 10, 3), (INK, "sd-1", None, 2, 1)]  # fmt: skip
    assert verify_rollup(trade.session) == (3, [])


def test_every_name_that_is_held_says_why_and_what_to_do(trade: Trade) -> None:
    trade.model("sd-2")
    for slug in ("sd-1", "sd-2"):
        name(trade, f"urn:air:two:checkpoint:x:{slug}@1", slug)
    names = {
        "mystery": "unknown_name",
        "urn:air:SD1:lora:civitai:10@1": "malformed_air",
        "urn:air:flux1:lora:civitai:10@1": "unknown_ecosystem",
        "urn:air:two:lora:civitai:10@1": "ambiguous_ecosystem",
    }
    for n, unknown in enumerate(names, 1):
        trade.use(unknown, n, AT)
        trade.use("sd-1", n, AT, adapters=[unknown])
    trade.use("sd-1", 100, AT, licensee="south")
    rolled(trade.session)
    found = review(trade.session)
    assert [(each.licensee, each.name, each.reason, each.image_count) for each in found.held] == [
        ("south", "sd-1", "no_account", 100),
        *(("north", unknown, names[unknown], 2 * n) for n, unknown in reversed(list(enumerate(names, 1)))),
    ]
    assert all(len(each.how_to_fix) > 20 for each in found.held)
    assert [each.counted_for for each in found.held] == [[], ["sd-1"], ["sd-1"], ["sd-1"], ["sd-1"]]
    assert [each.name for each in review(trade.session, "south").held] == ["sd-1"]
    with licensee_eyes(trade.session, trade.licensee("south").id):
        assert [each.name for each in review(trade.session).held] == ["sd-1"]


def test_registering_an_air_moves_no_count_until_somebody_says_so(trade: Trade) -> None:
    session = trade.session
    trade.use(TUNE, 5, AT)
    rolled(session)
    name(trade, TUNE, "tune")
    rolled(session)
    assert by_slug(trade) == {"sd-1": 5}
    trade.use(TUNE, 7, AT)  # from here on it is what it is registered as
    rolled(session)
    assert by_slug(trade) == {"sd-1": 5, "tune": 7}
    assert verify_rollup(session) == (2, [])
    [guess] = review(session).unreviewed
    assert (guess.counted_for, guess.registered_as, guess.image_count) == ("sd-1", "tune", 5)
    rebuild(session)
    session.commit()
    assert by_slug(trade) == {"sd-1": 5, "tune": 7}

    moved = re_resolve(session, TUNE, actor="Ada", reason="The tuner's own licence, see mail of 3 October.")
    session.commit()
    assert by_slug(trade) == {"tune": 12}
    assert verify_rollup(session) == (2, [])
    assert [(m.image_count, m.event_count, m.actor, m.name) for m in moved] == [(5, 1, "Ada", TUNE)]
    assert moved[0].counted_before == {"via": "sd-1", "counted_for": {"named": ["sd-1"]}}
    assert moved[0].counted_after == {"via": "tune", "counted_for": {"named": ["tune"]}}
    assert review(session).unreviewed == []
    rebuild(session)
    session.commit()
    assert by_slug(trade) == {"tune": 12}
    with pytest.raises(NotFound, match="nothing was counted by a guess"):
        re_resolve(session, TUNE, actor="Ada", reason="again")


def test_a_name_registered_as_what_it_was_taken_for_needs_nobody(trade: Trade) -> None:
    trade.use(TUNE, 5, AT)
    rolled(trade.session)
    name(trade, TUNE, "sd-1")
    assert review(trade.session).unreviewed == []
    trade.use(TUNE, 6, AT)
    rolled(trade.session)
    assert by_slug(trade) == {"sd-1": 11} and review(trade.session).unreviewed == []


def test_moves_take_a_registered_name_and_a_reason(trade: Trade) -> None:
    with pytest.raises(Conflict, match="is not registered"):
        re_resolve(trade.session, TUNE, actor="Ada", reason="because")
    with pytest.raises(InvalidInput, match="say who moves counts and why"):
        re_resolve(trade.session, TUNE, actor="Ada", reason=" ")
    name(trade, TUNE, "tune")
    with pytest.raises(NotFound, match="there is no licensee called nobody"):
        re_resolve(trade.session, TUNE, actor="Ada", reason="because", licensee_slug="nobody")


def test_verify_finds_a_guess_that_was_changed_behind_the_log(trade: Trade) -> None:
    trade.use(TUNE, 5, AT)
    rolled(trade.session)
    name(trade, TUNE, "tune")
    trade.session.commit()
    trade.session.execute(text("UPDATE resolutions SET guessed_names = '{}', guessed_ids = '{}'"))
    assert len(verify_rollup(trade.session)[1]) == 2


OPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("use"),
            st.sampled_from(["sd-1", "sd-2", TUNE]),
            st.sets(st.sampled_from([INK, "ink"])),
            st.sampled_from(OUTPUTS[:2]),
            st.integers(1, 9),
        ),
        st.tuples(st.sampled_from(["roll", "roll", "family", "rebuild"])),
        st.tuples(st.sampled_from(["register", "resolve"]), st.sampled_from([INK, TUNE])),
    ),
    max_size=14,
)
BASES = {"ink": {"sd-1"}, "tune": {"sd-1"}, "sd-1": set(), "sd-2": set()}
IS = {INK: "ink", TUNE: "tune"}


class Ledger:
    """The oracle: each event remembers what each of its names was taken for when it was counted."""

    def __init__(self) -> None:
        self.known = {"sd-1": "sd-1", "sd-2": "sd-2", "ink": "ink"}
        self.family = False
        self.waiting: list[dict[str, Any]] = []
        self.counted: list[dict[str, Any]] = []

    def roll(self) -> None:
        self.counted += self.waiting
        self.waiting = []
        for event in self.counted:
            for each in (event["model"], *event["adapters"]):
                if event["as"].get(each) is None:
                    event["as"][each] = self.known.get(each) or ("guess" if self.family else None)

    def resolve(self, what: str) -> bool:
        touched = [event for event in self.counted if event["as"].get(what) == "guess"]
        for event in touched:
            event["as"][what] = IS[what]
        return bool(touched)

    def owed(self, rule: str | None) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for event in self.counted:
            via = event["as"][event["model"]]
            if via is None:
                continue
            models = {"sd-1" if via == "guess" else via}
            for adapter in event["adapters"]:
                taken = event["as"][adapter]
                if taken == "guess":
                    models |= {"sd-1"} if (rule or "base") in ("base", "both") else set()
                elif taken is not None:
                    models |= {taken} if (rule or "own") in ("own", "both") else set()
                    models |= BASES[taken] if (rule or "own") in ("base", "both") else set()
            for model in models:
                found[model] += event["images"]
        return dict(found)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ops=OPS)
def test_whatever_is_registered_when_counts_move_only_on_a_word_and_verify_agrees(
    engine: Engine, owner_url: str, ops: list
) -> None:
    forget_everything(owner_url)
    with Session(engine) as session:
        trade, oracle, moves = Trade(session), Ledger(), 0
        trade.model("sd-2")
        trade.model("ink", bases=["sd-1"], owes="own")
        trade.model("tune", bases=["sd-1"], owes="own")
        session.commit()
        for op, *said in [*ops, ("roll",)]:
            if op == "use":
                model, adapters, output, images = said
                trade.use(model, images, AT, adapters=sorted(adapters), output=output)
                oracle.waiting.append({"model": model, "adapters": adapters, "images": images, "as": {}})
                session.commit()
            elif op == "family" and not oracle.family:
                name(trade, FAMILY, "sd-1")
                oracle.family = True
            elif op == "register" and said[0] not in oracle.known:
                name(trade, said[0], IS[said[0]])
                oracle.known[said[0]] = IS[said[0]]
            elif op == "resolve" and said[0] in oracle.known:
                session.commit()
                if oracle.resolve(said[0]):
                    moves += len(re_resolve(session, said[0], actor="Ada", reason="because"))
                else:
                    with pytest.raises(NotFound):
                        re_resolve(session, said[0], actor="Ada", reason="because")
                    session.rollback()
            elif op in ("roll", "rebuild"):
                oracle.roll()
                rolled(session)
                if op == "rebuild":
                    rebuild(session)
            session.commit()
            if op in ("roll", "rebuild", "resolve"):
                for rule in (None, "own", "base", "both", "none"):
                    assert by_slug(trade, rule) == oracle.owed(rule), (op, rule)
                assert verify_rollup(session)[1] == []
        assert len(session.scalars(select(ReResolution)).all()) == moves
