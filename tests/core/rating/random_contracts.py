"""Random contracts and usage for the laws, as plain documents; a core contract is made from them at the end."""

from copy import deepcopy
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from core.agreements.terms import parse_terms
from core.period import Period
from core.rating.rate import Contract

MODELS = ("alder", "birch", "cedar")
FIRST = date(2023, 11, 20)  # so that terms meet 29 February 2024
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Case:
    """A contract as plain data, and counts for it."""

    plain: dict[str, Any]
    counts: dict[tuple[str, date], int]

    @property
    def contract(self) -> Contract:
        versions = tuple((day, parse_terms(document)) for day, document in self.plain["versions"])
        return Contract(Period(*self.plain["term"]), versions, self.plain["ended_on"])

    @property
    def end(self) -> date:
        return self.plain["term"][1]


def rates(places: int = 3) -> st.SearchStrategy[str]:
    return st.decimals("0.001", 50, places=places).map(lambda rate: f"{rate:f}")


@st.composite
def schedules(draw: Any, kinds: tuple[str, ...]) -> dict[str, Any]:
    kind = draw(st.sampled_from(kinds))
    if kind == "zero":
        return {"kind": kind}
    if kind == "flat":
        return {"kind": kind, "rate": draw(rates())}
    if kind == "package":
        return {"kind": kind, "size": draw(st.sampled_from([1, 7, 100, 1000])), "price": draw(rates())}
    edges = sorted(draw(st.sets(st.sampled_from([1, 9, 10, 100, 1000, 1001, 5000]), max_size=3)))
    tiers = [{"up_to": edge, "rate": draw(st.just("0") | rates())} for edge in edges]
    return {"kind": kind, "tiers": [*tiers, {"rate": draw(rates())}]}


ALL_KINDS = ("flat", "graduated", "volume", "package", "zero")


@st.composite
def documents(draw: Any, currency: str, start: date, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Terms: one to three fees over some of the models, perhaps commitments."""
    document: dict[str, Any] = {"currency": currency}
    if draw(st.booleans()):
        document["unit"] = "BUZZ"
        document["conversions"] = [
            {"from": "BUZZ", "to": currency, "rate": draw(st.sampled_from(["0.001", "0.0007", "1"]))}
        ]
        if draw(st.integers(0, 3)) == 0:
            later = {"rate": "0.0013", "effective_on": start + draw(st.integers(1, 60)) * DAY}
            document["conversions"].append({**document["conversions"][0], **later})
    models = list(draw(st.permutations(MODELS)))[: draw(st.integers(1, 3))]
    fees = []
    while models:
        taken = [models.pop() for _ in range(draw(st.integers(1, len(models))))]
        fee: dict[str, Any] = {"name": f"fee {len(fees)}", "models": taken, "schedule": draw(schedules(kinds))}
        fee["per"] = draw(st.sampled_from(["model", "group"]))
        if fee["schedule"]["kind"] != "zero" and draw(st.booleans()):
            fee["included_images"] = draw(st.sampled_from([1, 50, 1000]))
        if draw(st.booleans()):
            fee["base_fee"] = draw(rates(2))
        fees.append(fee)
    document["fees"] = fees
    priced = [model for fee in fees if fee["schedule"]["kind"] != "zero" for model in fee["models"]]
    if draw(st.integers(0, 4)) == 0:
        document["fees"].append({"name": "support", "base_fee": draw(rates(2))})  # for the agreement as a whole
    promised = [draw(commitments(n, fees, start)) for n in range(draw(st.integers(0, 3)) if priced else 0)]
    if draw(st.booleans()):
        put_in_order(promised, draw(st.permutations([1, 2, 3])))
    document["commitments"] = promised
    document["early_termination"] = draw(st.sampled_from(["prorated", "full"]))
    return document


def put_in_order(promised: list[dict[str, Any]], numbers: list[int]) -> None:
    """Gives an order to every block, and to the shortfalls of one kind, which then may not roll over."""
    late = [promise for promise in promised if "billing" not in promise]
    for promise, number in zip(promised, numbers, strict=False):
        if "billing" not in promise and promise["kind"] != late[0]["kind"]:
            continue
        promise["order"] = number
        if "billing" not in promise:
            promise.pop("rollover", None)


@st.composite
def commitments(draw: Any, number: int, fees: list[dict[str, Any]], start: date) -> dict[str, Any]:
    """A commitment of any kind, by month more often than by quarter, so that there is something to roll over."""
    kind = draw(st.sampled_from(["images", "money"]))
    commitment: dict[str, Any] = {
        "name": f"promise {number}",
        "kind": kind,
        "quantity": draw(st.integers(1, 20_000)),
        "period": draw(st.sampled_from(["month", "month", "quarter", "year", "term"])),
    }
    billing = draw(st.sampled_from(["shortfall", "advance", "instalments"]))
    if billing != "shortfall":
        commitment["billing"] = "advance" if commitment["period"] == "month" else billing
        commitment["unused_at_termination"] = draw(st.sampled_from(["forfeited", "refunded"]))
    if commitment.get("billing") == "instalments":
        commitment["instalments"] = draw(st.sampled_from(["month", "quarter"]))
        if commitment["period"] == "quarter":
            commitment["instalments"] = "month"
    priced = [fee["models"] for fee in fees if fee.get("schedule", {"kind": "zero"})["kind"] != "zero"]
    if draw(st.booleans()):  # whole fees, so that a group is never split
        commitment["models"] = [model for group in priced[: draw(st.integers(1, len(priced)))] for model in group]
    if kind == "images" and (_single_rate(fees, commitment.get("models")) is None or draw(st.booleans())):
        commitment["shortfall_rate" if billing == "shortfall" else "prepaid_rate"] = draw(rates())
    if commitment["period"] != "term" and draw(st.booleans()):
        share = st.sampled_from(["0", "0.5", "1", "0.333"])
        rollover = {"unused": draw(share), "excess": draw(share), "expires_after": draw(st.integers(1, 3))}
        commitment |= {"rollover": rollover} if rollover["unused"] != "0" or rollover["excess"] != "0" else {}
    if draw(st.integers(0, 3)) == 0:
        commitment["starts_on"] = start + draw(st.integers(0, 40)) * DAY
    if draw(st.integers(0, 3)) == 0:
        commitment["ends_on"] = start + draw(st.integers(41, 120)) * DAY
    return commitment


def _single_rate(fees: list[dict[str, Any]], models: list[str] | None) -> str | None:
    """The flat rate of every fee in a commitment's scope, if they have just one: then it may be left out."""
    scope = [
        fee["schedule"] for fee in fees if "models" in fee and (models is None or set(fee["models"]) & set(models))
    ]
    rates_in_scope = {schedule.get("rate") for schedule in scope if schedule["kind"] != "zero"}
    return rates_in_scope.pop() if len(rates_in_scope) == 1 else None


@st.composite
def cases(draw: Any, kinds: tuple[str, ...] = ALL_KINDS, amendments: int = 3) -> Case:
    """A contract of up to 200 days with up to so many amendments, some back-dated, and usage in and around its term."""
    start = FIRST + draw(st.integers(0, 120)) * DAY
    days = draw(st.integers(1, 65) | st.integers(1, 200))
    currency = draw(st.sampled_from(["USD", "JPY", "KWD"]))
    versions = [(start, draw(documents(currency, start, kinds)))]
    for _ in range(draw(st.integers(0, amendments))):
        day = start + draw(st.integers(0, 25) | st.integers(0, days + 5)) * DAY  # often several within a month
        versions.append((day, draw(amended([document for _, document in versions], documents(currency, start, kinds)))))
    ended_on = start + draw(st.integers(1, days)) * DAY if draw(st.integers(0, 3)) == 0 else None
    plain = {"term": (start, start + days * DAY), "versions": versions, "ended_on": ended_on}
    return Case(plain, draw(usage(start, days)))


@st.composite
def rolling_cases(draw: Any) -> Case:
    """Half a year of monthly and quarterly commitments that are now missed and now passed, so that things roll over.

    Volumes of the months vary about the quantities promised; prices are simple, for other cases try those.
    """
    start = FIRST.replace(day=draw(st.sampled_from([1, 1, 15]))) + draw(st.integers(0, 2)) * 31 * DAY
    days = draw(st.integers(100, 210))
    fees: list[dict[str, Any]] = [
        {"name": "fee 0", "models": ["alder", "birch"], "schedule": {"kind": "flat", "rate": draw(rates(2))}},
        {"name": "fee 1", "models": ["cedar"], "schedule": {"kind": "flat", "rate": "1"}},
    ]
    promised = [draw(commitments(n, fees, start)) for n in range(draw(st.integers(1, 3)))]
    for promise in promised:
        promise["period"] = draw(st.sampled_from(["month", "month", "month", "quarter"]))
        if promise.pop("instalments", None) and promise["period"] == "month":
            promise["billing"] = "advance"
        elif promise.get("billing") == "instalments":
            promise["instalments"] = "month"
        price = 1 if promise["kind"] == "images" else draw(st.sampled_from([1, 5, 20]))
        promise["quantity"] = draw(st.integers(50, 2500)) * price
        if draw(st.integers(0, 3)):
            share = st.sampled_from(["0", "0.5", "1", "0.333"])
            unused, excess = draw(st.tuples(share, share).filter(lambda pair: pair != ("0", "0")))
            promise["rollover"] = {"unused": unused, "excess": excess, "expires_after": draw(st.integers(1, 3))}
    if draw(st.booleans()):
        put_in_order(promised, draw(st.permutations([1, 2, 3])))
    versions = [(start, {"currency": "USD", "fees": fees, "commitments": promised})]
    for _ in range(draw(st.integers(0, 2))):
        document = deepcopy(versions[-1][1])
        document["commitments"][0]["quantity"] = draw(st.integers(50, 2500))
        document["early_termination"] = draw(st.sampled_from(["prorated", "full"]))
        versions.append((start + draw(st.integers(0, days)) * DAY, document))
    counts: dict[tuple[str, date], int] = {}
    for model in MODELS[: draw(st.integers(1, 3))]:
        for month in range(8):
            volume = draw(st.integers(0, 3000))
            at = start + (month * 30 + draw(st.integers(0, 29))) * DAY
            counts[model, at] = counts.get((model, at), 0) + volume
    ended_on = start + draw(st.integers(40, days)) * DAY if draw(st.integers(0, 3)) == 0 else None
    return Case({"term": (start, start + days * DAY), "versions": versions, "ended_on": ended_on}, counts)


@st.composite
def amended(draw: Any, signed: list[dict[str, Any]], new: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """Terms after an amendment: all new, the first ones again, or the last ones with one thing changed."""
    change = draw(st.sampled_from(["new", "first", "nothing", "fee", "rate", "included", "base", "worth", "promise"]))
    if change == "new":
        return draw(new)
    document = deepcopy(signed[0] if change == "first" else signed[-1])
    fee = document["fees"][0]
    if change == "fee" and len(document["fees"]) > 1:
        document["fees"].pop()  # a model leaves, and may come back with "first"
        document["commitments"] = []
    elif change == "rate" and "rate" in fee["schedule"]:
        fee["schedule"]["rate"] = draw(rates())
        for promise in document["commitments"]:
            if promise["kind"] == "images":  # a single flat price may be single no longer
                key = "prepaid_rate" if "billing" in promise else "shortfall_rate"
                promise.setdefault(key, "0.5")
    elif change == "promise" and document["commitments"]:
        document["commitments"][0]["quantity"] = draw(st.integers(1, 20_000))
    elif change == "included" and fee["schedule"]["kind"] != "zero":
        fee["included_images"] = draw(st.integers(1, 2000))
    elif change == "base":
        fee["base_fee"] = draw(rates(2))
    elif change == "worth" and "conversions" in document:
        document["conversions"][0]["rate"] = "0.002"
    return document


@st.composite
def usage(draw: Any, start: date, days: int) -> dict[tuple[str, date], int]:
    """Counts per model and day, also of an unknown model and of days outside the term.

    Some models run every day, so that every price segment, tier edge and commitment period sees images.
    """
    counts: dict[tuple[str, date], int] = {}
    for model, images in draw(st.dictionaries(st.sampled_from(MODELS), st.integers(1, 150), max_size=3)).items():
        counts |= {(model, start + n * DAY): images for n in range(-3, days + 3)}
    at = st.tuples(st.sampled_from([*MODELS, "unknown"]), st.integers(-3, days + 3).map(lambda n: start + n * DAY))
    return counts | draw(st.dictionaries(at, st.integers(0, 3000) | st.sampled_from([9, 10, 11, 1001]), max_size=12))
