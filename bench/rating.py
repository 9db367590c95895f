"""How fast agreements' months are rated, against the loop that most people would write first.

    python -m bench.rating [--agreements 10000] [--json]

One process, no database. Every agreement has 20 models with counts for each day of a month; two of five have flat
prices and a floor that is judged later, the others tiers and packages, included images with a monthly fee, or a block
that is drawn down. Seconds are CPU time of this process, so that neighbours count less. Two figures are printed:

    rating     `owed` on a fresh contract: exact fractions, keys, workings that explain every line
    floats     a float loop that adds up the same counts and multiplies by the same prices: totals only, nothing
               explained, off by cents. The floor below which no Python gets, and no target

The target is 10,000 agreements' months in 10 seconds. Counts and terms are made beforehand and are not measured.
"""

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from datetime import date
from typing import Any

from core.agreements.terms import Terms, parse_terms
from core.period import Period
from core.rating.rate import Contract, RatedLine, owed

MODELS = 20
KINDS = 50  # different contracts, in turn
MONTH = Period.month("2026-03")
TERM = Period(date(2026, 3, 1), date(2027, 3, 1))
TARGET_SECONDS = 10.0
Counts = dict[tuple[str, date], int]


def terms_of(number: int) -> Terms:
    """Contract `number`, one of five kinds: two flat with a floor, tiers and packages, included images, a block."""
    models = [f"model-{number}-{n}" for n in range(MODELS)]
    tiers = [{"up_to": 10_000, "rate": "5"}, {"up_to": 100_000, "rate": "4.5"}, {"rate": "4"}]
    flat = {"name": "flat", "models": models, "schedule": {"kind": "flat", "rate": f"{4 + number}.25"}}
    floor = {"name": "floor", "kind": "images", "quantity": 12_000_000, "period": "term"}
    block = {"name": "block", "kind": "images", "quantity": 50_000, "period": "month", "billing": "advance"}
    fees: list[dict[str, Any]] = [flat]
    if number % 5 == 2:
        packages = {"kind": "package", "size": 1000, "price": "4"}
        fees = [
            {"name": "tiers", "models": models[:10], "schedule": {"kind": "graduated", "tiers": tiers}},
            {"name": "packages", "models": models[10:], "schedule": packages},
        ]
    elif number % 5 == 3:
        fees = [{**flat, "included_images": 5_000, "base_fee": "99000"}]
    return parse_terms(
        {
            "currency": "USD",
            "unit": "BUZZ",
            "conversions": [{"from": "BUZZ", "to": "USD", "rate": "0.001"}],
            "fees": fees,
            "commitments": {0: [floor], 1: [floor], 4: [block]}.get(number % 5, []),
        }
    )


def counts_of(number: int) -> Counts:
    return {
        (f"model-{number}-{n}", day): (number * 7 + n * 131 + day.day * 17) % 900 + 1
        for n in range(MODELS)
        for day in MONTH.each_day()
    }


def rate_exactly(terms: Terms, counts: Counts) -> tuple[RatedLine, ...]:
    return owed(Contract(TERM, ((TERM.start, terms),)), counts, date(2026, 4, 1))


def rate_in_floats(number: int, counts: Counts) -> float:
    """What a first draft does: totals per model, times a price, in floats. No tiers over a price change, no keys."""
    sums: defaultdict[str, int] = defaultdict(int)
    for (model, day), images in counts.items():
        if day in MONTH:
            sums[model] += images
    total, kind, block = 0.0, number % 5, 50_000 if number % 5 == 4 else 0
    for n, images in enumerate(sums.values()):
        if kind == 2 and n < 10:
            low, mid = min(images, 10_000), min(max(images - 10_000, 0), 90_000)
            total += round((low * 5 + mid * 4.5 + max(images - 100_000, 0) * 4) * 0.001, 2)
        elif kind == 2:
            total += round(-(-images // 1000) * 4 * 0.001, 2)
        elif kind == 3:
            total += round(99.0 + max(0, images - 5_000) * (4.25 + number) * 0.001, 2)
        else:
            paid = min(block, images)
            block -= paid
            total += round((images - paid) * (4.25 + number) * 0.001, 2)
    return total


def measure(agreements: int) -> dict[str, Any]:
    """Both ways over the same agreements, in five interleaved rounds; medians."""
    kinds = [(number, terms_of(number), counts_of(number)) for number in range(KINDS)]
    rounds: dict[str, list[float]] = {"rating": [], "floats": []}
    each, lines = agreements // 5, 0
    for _ in range(5):
        began = time.process_time()
        for n in range(each):
            _, terms, counts = kinds[n % KINDS]
            lines += len(rate_exactly(terms, counts))
        rounds["rating"].append(time.process_time() - began)
        began = time.process_time()
        for n in range(each):
            number, _, counts = kinds[n % KINDS]
            rate_in_floats(number, counts)
        rounds["floats"].append(time.process_time() - began)
    rating, floats = (statistics.median(rounds[way]) * 5 for way in ("rating", "floats"))
    return {
        "agreements": each * 5,
        "models": MODELS,
        "daily_counts": MODELS * MONTH.days,
        "lines": round(lines / (each * 5)),
        "seconds": round(rating, 3),
        "months_per_second": round(each * 5 / rating),
        "float_seconds": round(floats, 3),
        "ratio_to_floats": round(rating / floats, 2),
        "target_seconds": TARGET_SECONDS * each * 5 / 10_000,
    }


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--agreements", type=int, default=10_000)
    asked.add_argument("--json", action="store_true")
    options = asked.parse_args()
    found = measure(max(5, options.agreements))
    met = found["seconds"] <= found["target_seconds"]
    if options.json:
        print(json.dumps(found | {"met": met}))
    else:
        print(
            f"{found['agreements']:,} agreements' months of {found['models']} models, {found['lines']} lines on average"
        )
        print(f"rating  {found['seconds']:>8.2f} s  {found['months_per_second']:>8,} months/s")
        print(f"floats  {found['float_seconds']:>8.2f} s; rating takes {found['ratio_to_floats']} times as long")
        print(f"target  {found['target_seconds']:>8.2f} s: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
