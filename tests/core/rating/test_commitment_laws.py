"""What commitments promise to both sides, over random contracts: never less than promised, never charged twice."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.money import Money
from core.period import Period
from core.rating.line import COUNTED, FEES
from core.rating.prepaid import blocks
from core.rating.rate import Contract, RatedLine, owed, progress
from core.rating.shortfall import reckonings
from tests.core.rating.random_contracts import DAY, MODELS, Case, cases

some = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def fees_of(lines: Sequence[RatedLine]) -> list[RatedLine]:
    return [line for line in lines if line.key.kind in FEES]


@some
@given(cases())
def test_a_commitment_is_reached_by_usage_and_shortfall_together(case: Case) -> None:
    """Law 3, for every shortfall that neither rolls over nor shares its usage with others."""
    contract = case.contract
    lines = owed(contract, case.counts, case.end)
    missing = {(line.key.subject, line.key.service): line for line in lines if line.key.kind == "shortfall"}
    for promise in contract.promises:
        commitment = promise.commitment
        if commitment.prepaid or commitment.rollover or commitment.order:
            continue
        scope, line = commitment.models, missing.get((commitment.name, promise.days))
        if commitment.kind == "money":
            came = sum(
                fee.money.minor
                for fee in fees_of(lines)
                if fee.days.start in promise.days and (scope is None or (fee.models and set(fee.models) <= set(scope)))
            )
            charged = line.money.minor if line else 0
            before = _carried_in(contract, case, promise)
            assert came + charged == max(promise.target + before, came)
        else:
            came = sum(
                images
                for (model, day), images in case.counts.items()
                if day in promise.days and (scope is None or model in scope)
            )
            assert came + (line.image_count if line else 0) >= promise.target


def _carried_in(contract: Contract, case: Case, promise: Any) -> int:
    """An amendment may end the rollover of a commitment; then its last debt or credit still comes over."""
    fees = fees_of(owed(contract, case.counts, case.end))
    tally = contract.tally(case.counts, case.end)
    found = next(r for r in reckonings(contract, tally, fees, case.end) if r.promise is promise)
    return found.carried_in - found.credit


@some
@given(cases(amendments=1))
def test_rolling_over_never_loses_what_was_promised(case: Case) -> None:
    """Law 3 over a whole chain: whatever goes on is charged later, and excess makes up for no more than it was."""
    contract = case.contract
    fees, tally = fees_of(owed(contract, case.counts, case.end)), contract.tally(case.counts, case.end)
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for found in reckonings(contract, tally, fees, case.end):
        assert 0 <= found.carried_on <= found.missing
        assert found.credit <= found.held
        if found.promise.commitment.order is None:
            sums[found.promise.commitment.name][0] += found.counted + found.charged
            sums[found.promise.commitment.name][1] += found.promise.target
    for came, promised in sums.values():
        assert came >= promised


@some
@given(cases())
def test_shortfalls_in_an_order_never_count_an_image_or_a_cent_twice(case: Case) -> None:
    contract = case.contract
    fees, tally = fees_of(owed(contract, case.counts, case.end)), contract.tally(case.counts, case.end)
    filled = [
        min(found.counted, found.promise.target)
        for found in reckonings(contract, tally, fees, case.end)
        if found.promise.commitment.order is not None and found.promise.commitment.kind == "money"
    ]
    assert sum(filled) <= sum(line.money.minor for line in fees)


@some
@given(cases(amendments=6))
def test_a_block_is_charged_once_and_pays_for_no_more_than_it_holds(case: Case) -> None:
    """B4 for what is paid in advance."""
    contract = case.contract
    lines = owed(contract, case.counts, case.end)
    for block in blocks(contract, fees_of(lines), case.end):
        promise, price = block.promise, block.price
        paid = [
            line.money.minor
            for line in lines
            if line.key.kind == "prepayment"
            and line.key.subject == promise.commitment.name
            and (line.key.service == promise.agreed or line.key.part == f"{promise.agreed.start}..{promise.agreed.end}")
        ]
        whole = Money.rounded(block.quantity * price.worth, contract.currency).minor
        assert all(part > 0 for part in paid) or whole == 0
        if promise.agreed.end <= case.end + DAY:
            due = sum(paid)
            assert due == whole or (promise.commitment.billing == "instalments" and promise.ended_early and due < whole)
        drawn = sum(draw.quantity for draw in block.draws)
        assert drawn + block.remaining == block.quantity + block.carried_in
        assert drawn == min(block.used, block.quantity + block.carried_in)
        assert all(draw.minor >= 0 for draw in block.draws)


@some
@given(cases(amendments=6))
def test_drawdowns_never_take_back_more_than_the_fees_of_their_month(case: Case) -> None:
    fees: defaultdict[Period, int] = defaultdict(int)
    drawn: defaultdict[Period, int] = defaultdict(int)
    for line in owed(case.contract, case.counts, case.end):
        if line.key.kind in FEES:
            fees[line.key.service] += line.money.minor
        elif line.key.kind == "drawdown":
            assert line.money.minor <= 0
            assert line.image_count <= 0
            drawn[line.key.service] -= line.money.minor
    assert all(drawn[month] <= fees[month] for month in drawn)


@some
@given(cases(amendments=6))
def test_commitments_move_no_fee_and_count_no_image_twice(case: Case) -> None:
    """What is promised changes what is charged beside the fees; usage is rated as always."""
    lines = owed(case.contract, case.counts, case.end)
    versions = [(day, {**document, "commitments": []}) for day, document in case.plain["versions"]]
    alone = owed(Case({**case.plain, "versions": versions}, case.counts).contract, case.counts, case.end)
    for kinds in (COUNTED, FEES):
        assert sum(x.image_count for x in lines if x.key.kind in kinds) == sum(
            x.image_count for x in alone if x.key.kind in kinds
        )
    exact = [
        sum((x.unit_amount * Fraction(x.conversion_rate) for x in found if x.key.kind in FEES), start=Fraction(0))
        for found in (lines, alone)
    ]
    assert exact[0] == exact[1]


@some
@given(
    st.integers(1, 10**6),
    st.sampled_from(["advance", "instalments"]),
    st.lists(st.tuples(st.integers(0, 180), st.integers(1, 5000)), max_size=12),
    st.sampled_from(["0.01", "0.0033", "7"]),
    st.booleans(),
)
def test_a_block_of_money_costs_the_greater_of_block_and_fees(
    quantity: int, billing: str, used: list[tuple[int, int]], rate: str, roll: bool
) -> None:
    """Law 3 for what is paid in advance: over each period the total is max(Q, fees), and rolled-over rests lower it."""
    clause: dict[str, Any] = {"name": "block", "kind": "money", "quantity": quantity, "period": "quarter"}
    clause |= {"billing": billing} | ({"instalments": "month"} if billing == "instalments" else {})
    clause |= {"rollover": {"unused": "1"}} if roll else {}
    start, end = date(2026, 1, 1), date(2026, 7, 1)
    fee = {"name": "fee", "models": ["alder"], "schedule": {"kind": "flat", "rate": rate}}
    document = {"currency": "USD", "fees": [fee], "commitments": [clause]}
    counts: dict[tuple[str, date], int] = {}
    for day, images in used:
        counts["alder", start + day * DAY] = counts.get(("alder", start + day * DAY), 0) + images
    plain = {"term": (start, end), "versions": [(start, document)], "ended_on": None}
    lines = owed(Case(plain, counts).contract, counts, end)
    totals = []
    for quarter in (Period(start, date(2026, 4, 1)), Period(date(2026, 4, 1), end)):
        mine = [line for line in lines if line.key.service.start in quarter]
        fees = sum(line.money.minor for line in fees_of(mine))
        totals.append((sum(line.money.minor for line in mine), fees))
    block = quantity * 100
    rest = max(0, block - totals[0][1]) if roll else 0
    assert totals[0][0] == max(block, totals[0][1])
    assert totals[1][0] == block + max(0, totals[1][1] - block - rest)


@some
@given(cases(kinds=("flat", "zero"), amendments=0), st.data())
def test_more_usage_never_lowers_what_is_owed_in_money(case: Case, data: st.DataObject) -> None:
    """B4: monotone in usage, for commitments in money without rollover; on exact amounts, so up to a cent a line."""
    document = case.plain["versions"][0][1]
    document["commitments"] = [
        {k: v for k, v in promise.items() if k != "rollover"}
        for promise in document["commitments"]
        if promise["kind"] == "money" and promise.get("unused_at_termination") != "refunded"
    ][:1]
    at = (data.draw(st.sampled_from(MODELS)), case.plain["term"][0] + data.draw(st.integers(0, 200)) * DAY)
    more = {**case.counts, at: case.counts.get(at, 0) + data.draw(st.integers(1, 500))}
    totals = [sum(line.money.minor for line in owed(case.contract, counts, case.end)) for counts in (case.counts, more)]
    assert totals[0] <= totals[1]


@some
@given(cases(amendments=6), st.integers(1, 210))
def test_progress_agrees_with_what_is_charged_in_the_end(case: Case, after: int) -> None:
    as_of = case.plain["term"][0] + after * DAY
    lines = owed(case.contract, case.counts, as_of)
    tally, fees = case.contract.tally(case.counts, as_of), fees_of(lines)
    ends_with_month = any(month.end == as_of for month, _ in case.contract.months)
    charged = {
        (found.promise.commitment.name, found.promise.days): found
        for found in reckonings(case.contract, tally, fees, as_of)
    }
    for state in progress(case.contract, case.counts, as_of):
        if state.billing == "shortfall":
            assert state.remaining == max(0, state.target - state.counted)
            if state.period.end == as_of and ends_with_month:
                found = charged[state.name, state.period]
                missing = (
                    found.missing if state.kind == "images" else Money(case.contract.currency, found.missing).amount
                )
                assert missing == state.remaining == state.expected_shortfall
        else:
            assert state.remaining == max(0, state.target - state.counted)
            assert state.expected_shortfall == 0
            if state.burn_down:
                assert state.burn_down[-1].left == state.remaining
                assert sum(row.quantity for row in state.burn_down) == state.target - state.remaining
            if state.exhausted_on:
                assert as_of <= state.exhausted_on < state.period.end
                assert state.forecast >= state.target
                assert state.expected_unused == 0
