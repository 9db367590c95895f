"""Corrections among all else that moves counts: late names, guesses, moves, rebuilds, in any order. Always exact."""

from collections import Counter, defaultdict
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.usage.corrections.correct import correct
from core.usage.corrections.correction import Order
from core.usage.counts.review import re_resolve, review
from core.usage.counts.rollup import rebuild
from core.usage.counts.verify import verify_rollup
from tests.core.usage.counts.test_review import FAMILY, INK, TUNE, name
from tests.core.usage.counts.test_rollup import counts, rolled
from tests.oracle import after_correction
from tests.trade import Trade, forget_everything

LATE = "mystery"  # a model that is registered when the test says so
DAYS = (date(2026, 10, 2), date(2026, 10, 31))
IS = {INK: "ink", TUNE: "tune", LATE: LATE}
BASES: dict[str, set[str]] = {"ink": {"sd-1"}, "tune": {"sd-1"}, "sd-1": set(), LATE: set()}
USE = st.tuples(
    st.just("use"),
    st.sampled_from(["sd-1", LATE, TUNE]),
    st.sets(st.sampled_from([INK, "ink"])),
    st.sampled_from(DAYS),
    st.integers(1, 9),
)
CORRECT = st.tuples(st.just("correct"), st.integers(0, 5), st.sampled_from([None, "to", "by"]), st.integers(-9, 9))
LEARN = st.tuples(st.sampled_from(["register", "resolve"]), st.sampled_from([INK, TUNE, LATE]))
ANY = st.one_of(USE, CORRECT, CORRECT, LEARN, st.tuples(st.sampled_from(["roll", "roll", "family", "rebuild"])))
# Whatever happens, in the end every name is registered and every guess is moved, with corrections before and after.
OPS = st.builds(
    lambda uses, acts, before, counted, after: [
        *(*uses, *acts, ("roll",), *before, *counted),
        *(("register", LATE), ("register", TUNE), ("resolve", TUNE), ("roll",), *after),
        *(("register", INK), ("resolve", INK), ("rebuild",)),
    ],
    st.lists(USE, min_size=1, max_size=4),
    st.lists(ANY, max_size=8),
    st.lists(CORRECT, max_size=2),
    st.sampled_from([(), (("roll",),)]),
    st.lists(CORRECT, max_size=2),
)


class Ledger:
    """The oracle: each event, what it counts, and what each of its names was taken for when it was counted."""

    def __init__(self) -> None:
        self.known = {"sd-1": "sd-1", "ink": "ink"}
        self.family = False
        self.events: list[dict[str, Any]] = []

    def roll(self) -> None:
        for event in self.events:
            event["counted"] = event["images"]
            for each in (event["model"], *event["adapters"]):
                if event["as"].get(each) is None:
                    guess = "guess" if self.family and each != LATE else None
                    event["as"][each] = self.known.get(each) or guess

    def resolve(self, what: str) -> bool:
        touched = [event for event in self.events if event["as"].get(what) == "guess"]
        for event in touched:
            event["as"][what] = IS[what]
        return bool(touched)

    def owed(self, rule: str | None) -> dict[tuple[str, date], int]:
        found: dict[tuple[str, date], int] = defaultdict(int)
        for event in self.events:
            via = event["as"].get(event["model"])
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
                found[model, event["day"]] += event["counted"]
        return dict(found)

    def waits(self, what: str, taken: str | None) -> int:
        return sum(
            e["counted"] for e in self.events if e["model"] == what and "counted" in e and e["as"][what] == taken
        )


def by_slug(trade: Trade, rule: str | None) -> dict[tuple[str, date], int]:
    slugs = {model.id: slug for slug, model in trade.models.items()}
    found: Counter[tuple[str, date]] = Counter()
    for (_, model_id, day), images in counts(trade.session, rule).items():
        found[slugs[model_id], day] += images
    return dict(found)


def make(session: Session, trade: Trade, n: int, oracle: Ledger, said: tuple[int, str | None, int]) -> None:
    """One correction of a random event, taken and refused as the oracle says."""
    which, way, number = said
    place = which % len(oracle.events)
    event = oracle.events[place]
    kind = "amend" if way else "withdraw"
    asked = {"image_count": abs(number)} if way == "to" else {"image_delta": number} if way == "by" else {}
    order = Order(f"c{n}", f"e{place}", kind, "any", **asked)  # type: ignore[arg-type]
    [answer] = correct(session, trade.licensee("north").id, [order], "Ada")
    after = after_correction(event["images"], kind, **asked)
    assert (answer.status == "accepted") == (after is not None), (answer, event)
    event["images"] = event["images"] if after is None else after


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ops=OPS)
def test_whatever_is_corrected_registered_and_moved_when_every_count_is_what_the_oracle_says(
    engine: Engine, owner_url: str, ops: list
) -> None:
    check_counts(engine, owner_url, ops)


def test_a_guess_ends_when_its_name_is_registered_though_the_model_beside_it_is_still_unknown(
    engine: Engine, owner_url: str
) -> None:
    use = ("use", LATE, {INK}, DAYS[0], 1)
    guessed, registered = [("family",), use, ("roll",)], [("register", INK), use, ("roll",)]
    check_counts(engine, owner_url, [*guessed, *registered, ("register", LATE), ("roll",), ("resolve", INK)])


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ops=OPS)
def test_the_same_many_times(engine: Engine, owner_url: str, ops: list) -> None:
    check_counts(engine, owner_url, ops)


def check_counts(engine: Engine, owner_url: str, ops: list) -> None:
    forget_everything(owner_url)
    with Session(engine) as session:
        trade, oracle = Trade(session), Ledger()
        trade.model("ink", bases=["sd-1"], owes="own")
        trade.model("tune", bases=["sd-1"], owes="own")
        session.commit()
        for n, (op, *said) in enumerate([*ops, ("roll",)]):
            if op == "use":
                model, adapters, day, images = said
                place = len(oracle.events)
                trade.use(model, images, f"{day}T12:00Z", adapters=sorted(adapters), event_id=f"e{place}")
                oracle.events.append({"model": model, "adapters": adapters, "day": day, "images": images, "as": {}})
            elif op == "correct" and oracle.events:
                make(session, trade, n, oracle, tuple(said))
            elif op == "family" and not oracle.family:
                name(trade, FAMILY, "sd-1")
                oracle.family = True
            elif op == "register" and said[0] not in oracle.known:
                _ = trade.model(LATE) if said[0] == LATE else name(trade, said[0], IS[said[0]])
                oracle.known[said[0]] = IS[said[0]]
            elif op == "resolve" and said[0] in oracle.known:
                if oracle.resolve(said[0]):
                    re_resolve(session, said[0], actor="Ada", reason="because")
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
                agrees(session, trade, oracle)


def agrees(session: Session, trade: Trade, oracle: Ledger) -> None:
    for rule in (None, "own", "both"):
        assert by_slug(trade, rule) == oracle.owed(rule), rule
    assert verify_rollup(session)[1] == []
    found = review(session)
    assert sum(each.image_count for each in found.held if each.name == LATE) == oracle.waits(LATE, None)
    assert all(each.image_count == oracle.waits(TUNE, "guess") for each in found.unreviewed if each.name == TUNE)
    session.commit()
