"""The oracle: a second, slow and simple answer to "what is owed", to check the real one against.

Written from RATING.md alone. It shares no code with the core and reads only plain data: events as dicts, terms as the
documents people write. It goes day by day and adds up fractions; nobody would run it on a real platform.

    count_events(events, zones)        images per (licensee, model, day), each event counted once
    after_correction(images, kind)     what an event counts after one more correction, None if that is refused
    owed(contract, counts, until)      {(kind, subject, start, end, part): (images, minor units)}, zero lines left out

A contract is {"term": (first day, first day after), "versions": [(effective_on, document), ...], "ended_on": day?}.
"""

from datetime import date, datetime, timedelta
from fractions import Fraction
from math import floor
from zoneinfo import ZoneInfo

from tests.oracle_commitments import commitment_lines

DECIMALS = {"JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3}
DAY = timedelta(days=1)


def count_events(events, zones, owes=None):
    """Images per (licensee, model, day of the zone). A repeated (licensee, event id) counts once.

    `zones` gives the zone of (licensee, model); `owes` the fee-bearing models of a reported name, itself by default.
    """
    seen, counts = set(), {}
    for event in events:
        name = (event["licensee"], event["event_id"])
        if name in seen:
            continue
        seen.add(name)
        reported = [event["model"], *event.get("adapters", ())]
        for model in {m for r in reported for m in (owes or {}).get(r, [r])}:
            at = event["occurred_at"]
            at = at if isinstance(at, datetime) else datetime.fromisoformat(at)
            day = at.astimezone(ZoneInfo(zones[event["licensee"], model])).date()
            key = (event["licensee"], model, day)
            counts[key] = counts.get(key, 0) + event["image_count"]
    return counts


def after_correction(images, kind, image_count=None, image_delta=None):
    """What an event of so many images counts once it is withdrawn or amended; None for what would change nothing, or
    take more than there is."""
    after = 0 if kind == "withdraw" else image_count if image_count is not None else images + image_delta
    return None if after < 0 or after == images else after


def owed(contract, counts, until):
    """Every line that is due by `until`."""
    found = {}
    fee_lines = []
    promises = list(_promises(contract))
    fences = {day for p in promises if _counts_lines(p["clause"]) for day in (p["start"], p["end"])}
    for month in _months(contract):
        if month[-1] + DAY > until:
            continue
        for subject, days in _subjects(contract, month, counts).items():
            for key, first, models, images, amount, currency in _month_lines(subject, days, month, fences):
                minor = round_half_up(amount, currency)
                fee_lines.append(
                    {"first": first, "subject": subject, "kind": key[0], "month": key[2:4], "models": models}
                    | {"images": images, "minor": minor}
                )
                if images or minor or key[0] == "base":
                    found[key] = (images, minor)
    currency = contract["versions"][0][1]["currency"]
    return found | commitment_lines(
        promises,
        fee_lines,
        until=until,
        count_of=lambda p: _images_of(contract, counts, p),
        price_missing=lambda p, missing: _price_missing(contract, p, missing),
        price_prepaid=lambda p: _price_prepaid(contract, p),
        to_minor=lambda exact: round_half_up(exact, currency),
    )


def round_half_up(exact, currency):
    sign = -1 if exact < 0 else 1
    return sign * floor(abs(exact) * 10 ** DECIMALS.get(currency, 2) + Fraction(1, 2))


def _last_day(contract):
    return min(contract["term"][1], contract.get("ended_on") or contract["term"][1]) - DAY


def _number(contract, day):
    """The last version signed among those effective by the day."""
    return [n for n, (effective_on, _) in enumerate(contract["versions"]) if effective_on <= day][-1]


def _in_force(contract, day):
    return contract["versions"][_number(contract, day)][1]


def _months(contract):
    """Lists of days, one list a calendar month."""
    month, day = [], contract["term"][0]
    while day <= _last_day(contract):
        if month and month[-1].month != day.month:
            yield month
            month = []
        month.append(day)
        day += DAY
    yield month


def _worth(document, day):
    """What one unit is worth on a day."""
    rates = [
        (_day(c.get("effective_on", "0001-01-01")), Fraction(c["rate"]))
        for c in document.get("conversions", [])
        if _day(c.get("effective_on", "0001-01-01")) <= day
    ]
    return max(rates)[1] if rates else Fraction(1)


def _subjects(contract, month, counts):
    """Per subject the days on which it was covered: (day, document, fee, models, images)."""
    subjects = {}
    for day in month:
        document = _in_force(contract, day)
        for fee in document["fees"]:
            together = fee.get("per") == "group" or "models" not in fee
            groups = [(fee["name"], fee.get("models", []))] if together else [(m, [m]) for m in fee["models"]]
            for subject, models in groups:
                images = sum(counts.get((model, day), 0) for model in models)
                subjects.setdefault(subject, []).append((day, document, fee, models, images))
    return subjects


def _schedule(fee):
    """A fee without models is a monthly fee and nothing else."""
    return fee.get("schedule", {"kind": "zero"})


def _cost(schedule, n, month_total):
    """What the first n paid images of a month cost."""
    kind = schedule["kind"]
    if kind == "flat":
        return n * Fraction(schedule["rate"])
    if kind == "package":
        begun = n // schedule["size"] + (1 if n % schedule["size"] else 0)
        return begun * Fraction(schedule["price"])
    if kind == "volume":
        for tier in schedule["tiers"]:
            if tier.get("up_to") is None or month_total <= tier["up_to"]:
                return n * Fraction(tier["rate"])
    cost, below = Fraction(0), 0
    for tier in schedule["tiers"]:
        edge = tier.get("up_to")
        here = n - below if edge is None else min(n, edge) - below
        if here > 0:
            cost += here * Fraction(tier["rate"])
        below = n if edge is None else edge
    return cost


def _month_lines(subject, days, month, fences):
    """The lines of a subject in a month: day by day, a new part whenever the price is another than the day before."""
    total = sum(images for _, _, fee, _, images in days if _schedule(fee)["kind"] != "zero")
    lines, position = {}, 0
    before, image_part, base_part = None, None, None
    for day, document, fee, models, images in days:
        schedule, worth, currency = _schedule(fee), _worth(document, day), document["currency"]
        unit = document.get("unit", currency)
        free = fee.get("included_images", 0)
        price = {k: v for k, v in schedule.items() if k != "band"}
        image_price = repr((unit, worth, _plain(price), free))
        base_price = repr((unit, worth, _plain(fee.get("base_fee"))))
        apart = before is None or before[0] != day - DAY or day in fences
        if apart or before[1] != image_price:
            image_part = day
        if apart or before[2] != base_price:
            base_part = day
        before = (day, image_price, base_price)

        today = []
        if fee.get("base_fee"):
            today.append(("base", base_part, 0, Fraction(fee["base_fee"]) * worth / _days_in_month(day)))
        if schedule["kind"] == "zero":
            today.append(("zero", image_part, images, 0))
        else:
            start, end = position, position + images
            position = end
            paid = max(0, end - free) - max(0, start - free)
            paid_total = max(0, total - free)
            cost = _cost(schedule, max(0, end - free), paid_total) - _cost(schedule, max(0, start - free), paid_total)
            if free:
                today.append(("included", image_part, images - paid, 0))
            today.append(("overage" if free else "usage", image_part, paid, cost * worth))
        for kind, part, n, amount in today:
            key = (kind, subject, month[0], month[-1] + DAY, part.isoformat())
            held = lines.setdefault(key, [part, [], 0, Fraction(0), currency])
            held[1] += [m for m in models if m not in held[1]]
            held[2] += n
            held[3] += amount
    for key, (part, models, images, amount, currency) in lines.items():
        yield key, part, models, images, amount, currency


def _plain(value):
    """Prices compare as numbers: "12" and "12.0" are the same price."""
    if isinstance(value, dict):
        return {k: v if k == "kind" else _plain(v) for k, v in sorted(value.items())}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if value is None else Fraction(value)


def _days_in_month(day):
    first = day.replace(day=1)
    return ((first + timedelta(days=32)).replace(day=1) - first).days


def _counts_lines(commitment):
    """Whether it counts rated lines, which then must not cross the bounds of its periods."""
    return (
        commitment["kind"] == "money" or commitment.get("billing", "shortfall") != "shortfall" or "order" in commitment
    )


def _promises(contract):
    """Each commitment over each of its periods, as agreed in the version in force on the period's last day."""
    term_start, term_end = contract["term"]
    stop = _last_day(contract) + DAY
    for number, (_, document) in enumerate(contract["versions"]):
        full = document.get("early_termination", "prorated") == "full"
        for position, commitment in enumerate(document.get("commitments", [])):
            window_start = max(term_start, _day(commitment.get("starts_on", term_start)))
            window_end = min(term_end, _day(commitment.get("ends_on", term_end)))
            whole_start = window_start.replace(day=1) if commitment["period"] == "month" else window_start
            turn = 0
            while whole_start < window_end:
                turn += 1
                whole_end = _turn(commitment["period"], window_start, window_end, turn)
                start, agreed_end = max(whole_start, window_start), min(whole_end, window_end)
                end, whole = min(agreed_end, stop), (whole_end - whole_start).days
                if start < end and _number(contract, end - DAY) == number:
                    agreed = _target(commitment, Fraction((agreed_end - start).days, whole), document["currency"])
                    cut = _target(commitment, Fraction((end - start).days, whole), document["currency"])
                    yield {
                        **{"name": commitment["name"], "kind": commitment["kind"], "clause": commitment},
                        **{"start": start, "end": end, "agreed_end": agreed_end, "version": number},
                        **{"target": agreed if full else cut, "agreed_target": agreed},
                        "place": (commitment.get("order", 10**12), position),
                    }
                whole_start = whole_end


def _turn(period, start, end, n):
    """Where the n-th period ends."""
    if period == "term":
        return end
    months = {"month": 1, "quarter": 3, "year": 12}[period] * n
    year, month = start.year + (start.month - 1 + months) // 12, (start.month - 1 + months) % 12 + 1
    if period == "month":
        return date(year, month, 1)
    for day in range(start.day, 0, -1):
        try:
            return date(year, month, day)
        except ValueError:
            continue
    raise AssertionError


def _target(commitment, share, currency):
    exact = Fraction(commitment["quantity"]) * share
    return floor(exact + Fraction(1, 2)) if commitment["kind"] == "images" else round_half_up(exact, currency)


def _images_of(contract, counts, p):
    """The images of a promise's scope, day by day."""
    came, day, wanted = 0, p["start"], p["clause"].get("models")
    while day < p["end"]:
        for fee in _in_force(contract, day)["fees"]:
            if "models" in fee and fee["schedule"]["kind"] != "zero":
                came += sum(counts.get((m, day), 0) for m in fee["models"] if wanted is None or m in wanted)
        day += DAY
    return came


def _flat_rate(document, commitment):
    wanted = commitment.get("models")
    return next(
        fee["schedule"]["rate"]
        for fee in document["fees"]
        if "models" in fee
        and fee["schedule"]["kind"] == "flat"
        and (wanted is None or set(fee["models"]) & set(wanted))
    )


def _price_missing(contract, p, missing):
    """Minor units for what is missing: images at the price of the period's last day, money as it is."""
    if p["kind"] == "money":
        return missing
    document = _in_force(contract, p["end"] - DAY)
    rate = p["clause"].get("shortfall_rate") or _flat_rate(document, p["clause"])
    return round_half_up(missing * Fraction(rate) * _worth(document, p["end"] - DAY), document["currency"])


def _price_prepaid(contract, p):
    """What one image (or minor unit) of a block costs, by the terms in force on its first day if they know it."""
    currency = contract["versions"][0][1]["currency"]
    if p["kind"] == "money":
        return Fraction(1, 10 ** DECIMALS.get(currency, 2))
    document = _in_force(contract, p["start"])
    clauses = [
        c
        for c in document.get("commitments", [])
        if c["name"] == p["name"] and c["kind"] == "images" and c.get("billing", "shortfall") != "shortfall"
    ]
    if not clauses:
        document, clauses = contract["versions"][p["version"]][1], [p["clause"]]
    rate = clauses[0].get("prepaid_rate") or _flat_rate(document, clauses[0])
    first = min((_day(c.get("effective_on", "0001-01-01")) for c in document.get("conversions", [])), default=date.min)
    return Fraction(rate) * _worth(document, max(first, p["start"]))


def _day(value):
    return value if isinstance(value, date) else date.fromisoformat(value)
