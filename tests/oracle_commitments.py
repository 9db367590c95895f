"""The oracle's half for commitments: what the promises of a contract add to its fees.

Like the rest of the oracle it shares no code with the core, and it goes another way: through time, line by line, with
every commitment open on the day taking its share of the line, where the core goes through one commitment after the
other. Promises, fee lines and prices come in as plain data from `tests/oracle.py`.
"""

from datetime import date
from fractions import Fraction
from itertools import pairwise
from math import floor

FEES = ["base", "included", "usage", "overage"]


def commitment_lines(promises, fee_lines, *, until, count_of, price_missing, price_prepaid, to_minor):
    """{key: (images, minor units)} of everything that promises bring and that is due by `until`.

    `promises` are dicts (name, kind, start, end, agreed_end, target, agreed_target, clause, place), `fee_lines` dicts
    (first, subject, kind, month, models, images, minor) of the months that are over.
    """
    promises = sorted(promises, key=lambda p: (p["start"], p["end"], p["name"]))
    place = {p["name"]: p["place"] for p in promises}  # of the last one
    for n, p in enumerate(promises):
        p |= {"n": n, "place": (place[p["name"]], p["name"]), "next": None, "before": None}
    for one, other in _neighbours(promises):
        if one["end"] == other["start"] and one["kind"] == other["kind"]:
            one["next"], other["before"] = other, one
    lines = sorted(
        (line for line in fee_lines if line["kind"] != "zero"),
        key=lambda line: (line["first"], line["subject"], FEES.index(line["kind"])),
    )
    late = [p for p in promises if p["clause"].get("billing", "shortfall") == "shortfall"]
    early = [p for p in promises if p not in late]
    found = dict(_shortfalls(late, lines, until, count_of, price_missing))
    found |= _blocks(early, lines, until, price_prepaid, to_minor)
    return found


def _neighbours(promises):
    """Pairs of promises of one name and one way of charging that follow each other."""
    for prepaid in (False, True):
        for name in {p["name"] for p in promises}:
            same = [
                p
                for p in promises
                if p["name"] == name and (p["clause"].get("billing", "shortfall") != "shortfall") == prepaid
            ]
            for number, p in enumerate(same):
                p["number"] = number
            yield from pairwise(same)


def _mine(p, line):
    wanted = p["clause"].get("models")
    return p["start"] <= line["first"] < p["end"] and (
        wanted is None or (line["models"] and set(line["models"]) <= set(wanted))
    )


def _nibble(left, kind, most):
    """Takes up to `most` of what is left [images, minor]; what was taken. The other side shrinks in proportion."""
    images, minor = left
    have = images if kind == "images" else minor
    if have < 1 or most < 1:
        return [0, 0]
    if most >= have:
        taken = [images, minor]
    elif kind == "images":
        taken = [most, floor(Fraction(minor * most, images) + Fraction(1, 2))]
    else:
        taken = [floor(Fraction(images * most, minor)), most]
    left[0] -= taken[0]
    left[1] -= taken[1]
    return taken


def _shortfalls(promises, lines, until, count_of, price_missing):
    seen, taken = {p["n"]: 0 for p in promises}, {p["n"]: 0 for p in promises}
    in_order = sorted((p for p in promises if p["clause"].get("order")), key=lambda p: (p["place"], p["n"]))
    for line in lines:
        left = [line["images"], line["minor"]]
        for p in in_order:
            if _mine(p, line):
                side = 0 if p["kind"] == "images" else 1
                seen[p["n"]] += left[side]
                taken[p["n"]] += _nibble(left, p["kind"], p["target"] - taken[p["n"]])[side]
    for p in promises:
        if p["start"] >= until:
            continue
        if p["clause"].get("order"):
            came = seen[p["n"]]
        elif p["kind"] == "money":
            came = sum(line["minor"] for line in lines if _mine(p, line))
        else:
            came = count_of(p)
        missing = _settle(p, came)
        if missing > 0 and p["end"] <= until:
            key = ("shortfall", p["name"], p["start"], p["end"], "")
            yield key, (missing if p["kind"] == "images" else 0, price_missing(p, missing))


def _settle(p, came):
    """What is charged for a period that had `came` in; what goes on is kept in the promise for the next one."""
    rollover = p["clause"].get("rollover") or {}
    before = p["before"] or {"debts": [], "credits": []}
    life = p["number"] + rollover.get("expires_after", 1)
    charged, debts = 0, []
    for debt, last in before["debts"]:
        rest = max(0, debt - came)
        came = max(0, came - debt)
        if rest and last > p["number"] and p["next"]:
            debts.append((rest, last))
        else:
            charged += rest
    missing, excess = max(0, p["target"] - came), max(0, came - p["target"])
    credits_ = []
    for credit, last in before["credits"]:
        used = min(credit, missing)
        missing -= used
        if credit > used and last > p["number"]:
            credits_.append((credit - used, last))
    later = floor(missing * Fraction(rollover.get("unused", "0"))) if p["next"] else 0
    gained = floor(excess * Fraction(rollover.get("excess", "0"))) if p["next"] else 0
    p["debts"] = debts + ([(later, life)] if later else [])
    p["credits"] = credits_ + ([(gained, life)] if gained else [])
    return charged + missing - later


def _blocks(promises, lines, until, price_prepaid, to_minor):
    """Prepayments, drawdowns and refunds, told in the order in which they happen."""
    found = {}
    open_blocks = [p for p in promises if p["start"] <= until]
    happenings = [(p["start"], 1, p["n"], p) for p in open_blocks]
    happenings += [(p["end"], 0, p["n"], p) for p in open_blocks]
    happenings += [(line["first"], 2, n, line) for n, line in enumerate(lines)]
    for _, what, _, it in sorted(happenings, key=lambda happening: happening[:3]):
        if what == 1:
            _begin(it, found, until, price_prepaid, to_minor)
        elif what == 0:
            _finish(it, found, until, to_minor)
        else:
            active = sorted((p for p in open_blocks if _mine(p, it)), key=lambda p: (p["place"], p["n"]))
            left = [it["images"], it["minor"]]
            for p in active:
                if p["kind"] == "images" and it["kind"] not in ("usage", "overage"):
                    continue
                side = 0 if p["kind"] == "images" else 1
                p["used"] += left[side]
                taken = _nibble(left, p["kind"], sum(balance[0] for balance in p["balances"]))
                p["drawn"] += taken[side]
                _empty(p["balances"], taken[side])
                if taken[side]:
                    key = ("drawdown", p["name"], *it["month"], "")
                    images, minor = found.get(key, (0, 0))
                    found[key] = (images - (taken[0] if side == 0 else 0), minor - taken[1])
    return {key: sums for key, sums in found.items() if sums != (0, 0)}


def _empty(balances, quantity):
    for balance in balances:
        part = min(balance[0], quantity)
        balance[0] -= part
        quantity -= part


def _begin(p, found, until, price_prepaid, to_minor):
    before = p["before"]
    free, balances = (before["free"], before["balances"]) if before else ([], [])
    lowered, p["free"] = 0, []
    for quantity, last in free:
        used = min(quantity, p["agreed_target"] - lowered)
        lowered += used
        if quantity > used and last > p["number"]:
            p["free"].append((quantity - used, last))
    bought, agreed = max(0, p["target"] - lowered), p["agreed_target"] - lowered
    rollover = p["clause"].get("rollover") or {}
    worth = price_prepaid(p)  # of one image or one minor unit, in the invoice currency
    p["balances"] = [*balances, [bought, p["number"] + rollover.get("expires_after", 1), worth]]
    p["used"] = p["drawn"] = 0
    whole = to_minor(bought * worth)
    if p["clause"]["billing"] == "advance":
        images = bought if p["kind"] == "images" else 0
        found["prepayment", p["name"], p["start"], p["agreed_end"], ""] = (images, whole)
        return
    days = _instalments(p)
    planned, asked = to_minor(agreed * worth), 0
    for n, (start, end) in enumerate(days):
        part = floor(Fraction(planned * (n + 1), len(days))) - floor(Fraction(planned * n, len(days)))
        part = min(part, whole - asked)
        asked += part
        if start <= until:
            found["prepayment", p["name"], start, end, f"{p['start']}..{p['agreed_end']}"] = (0, part)


def _finish(p, found, until, to_minor):
    if p["end"] > until:
        return
    *old, own = p["balances"]
    clause = p["clause"]
    if p["end"] < p["agreed_end"] and clause.get("unused_at_termination") == "refunded":
        worth = sum((left * each for left, _, each in p["balances"]), start=Fraction(0))
        images = sum(left for left, _, _ in p["balances"]) if p["kind"] == "images" else 0
        found["refund", p["name"], p["start"], p["end"], ""] = (-images, -to_minor(worth))
    rollover = clause.get("rollover") or {}
    own[0] = floor(own[0] * Fraction(rollover.get("unused", "0")))
    p["balances"] = [list(b) for b in (*old, own) if b[0] and b[1] > p["number"]]
    over = floor((p["used"] - p["drawn"]) * Fraction(rollover.get("excess", "0")))
    if over:
        p["free"].append((over, p["number"] + rollover.get("expires_after", 1)))


def _instalments(p):
    step = {"month": 1, "quarter": 3}[p["clause"]["instalments"]]
    starts, n = [], 0
    while (start := _later(p["start"], n * step)) < p["agreed_end"]:
        starts.append(start)
        n += 1
    return list(zip(starts, [*starts[1:], p["agreed_end"]], strict=True))


def _later(day, months):
    year, month = day.year + (day.month - 1 + months) // 12, (day.month - 1 + months) % 12 + 1
    for number in range(day.day, 0, -1):
        try:
            return date(year, month, number)
        except ValueError:
            continue
    raise AssertionError
