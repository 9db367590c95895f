"""The oracle's answer to "what is assumed for days of which nothing was heard", written from the rule alone.

Day by day, without the core: a model that was covered and not heard of on a day counts as the average of its images on
the days it was heard of in so many calendar months before, half a image rounded upwards.
"""

from datetime import timedelta
from fractions import Fraction
from math import floor

DAY = timedelta(days=1)


def covered_on(contract, day):
    """The document in force on a day, and by model whether an image of it owes anything."""
    document = [version for effective_on, version in contract["versions"] if effective_on <= day][-1]
    owes = {m: fee["schedule"]["kind"] != "zero" for fee in document["fees"] for m in fee.get("models", [])}
    return document, owes


def days_of(contract, until):
    """The days in force before `until`."""
    end = min(until, contract["term"][1], contract.get("ended_on") or contract["term"][1])
    return [contract["term"][0] + n * DAY for n in range(max(0, (end - contract["term"][0]).days))]


def assumed(contract, heard, counts, until):
    """(images by (model, day), the (model, day) that nothing tells anything about). `heard` are (model, day)."""
    days = days_of(contract, until)
    found, unknown = {}, set()
    for day in days:
        document, owes = covered_on(contract, day)
        rule = document.get("estimate")
        for model in owes:
            if (model, day) in heard or rule is None or not owes[model]:
                continue
            back = rule.get("months", 3)
            known = [
                earlier
                for earlier in days
                if 0 < _months_between(earlier, day) <= back
                and model in covered_on(contract, earlier)[1]
                and (model, earlier) in heard
            ]
            if known:
                average = Fraction(sum(counts.get((model, earlier), 0) for earlier in known), len(known))
                found[model, day] = floor(average + Fraction(1, 2))
            else:
                unknown.add((model, day))
    return found, unknown


def _months_between(earlier, later):
    return (later.year - earlier.year) * 12 + later.month - earlier.month
