"""The workings of a line in sentences that a person can recompute by hand.

Rating leaves small rows behind (count, price, prorate, commitment, convert, round); here they become words, for the
invoice's document in its language and for whoever asks to have a line explained. An equation that is computed here is
printed only if it holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from core.invoicing.paper.speech import PLAIN, Speech
from core.invoicing.paper.wording import exact_of, printable
from core.money import Money, plain

_LONGEST_LEAD = 60  # characters; a longer text stands on a line of its own
Row = Mapping[str, Any]


def explain_line(line: Row, currency: str, speech: Speech = PLAIN) -> dict[str, Any]:
    """A line of a snapshot explained: its number, title, service period, and the steps from counts to the amount."""
    rows = line.get("workings") or ()
    unit = printable(line["unit"])
    steps = [sentence for row in rows for sentence in _step(row, unit, speech)]
    if any(row.get("step") in ("round", "taken back") for row in rows):
        steps += _ending(rows, unit, speech)
    else:
        steps += _result(line, currency, steps, speech)
    # What a step says in its own words comes last: how the line follows from what is owed in all.
    steps += [speech.phrase(row["text"]) for row in rows if "step" in row and "text" in row]
    title = speech.phrase(line["description"])
    return {"no": str(line["no"]), "title": title, "span": service_span(line, speech), "steps": steps}


def service_span(line: Row, speech: Speech = PLAIN) -> str:
    """The service period; an adjustment says that it is one, unless its description does."""
    span = speech.days(line["service_start"], line["service_end"])
    named = not line["adjustment"] or line.get("kind") == "credit" or "Adjustment" in line["description"]
    return span if named else speech.say("adjustment_to", span=span)


def _step(row: Row, unit: str, speech: Speech) -> list[str]:
    """One row of workings in words. Conversion and rounding are one sentence, which `_ending` makes."""
    step = row.get("step")
    if step in ("convert", "round") or (step and "text" in row):
        return []
    try:
        return [_WORDS[step](row, unit, speech)] if step in _WORDS else _other_step(row, unit, speech)
    except KeyError:
        return _other_step(row, unit, speech)


def _count_words(row: Row, _unit: str, speech: Speech) -> str:
    span, days = speech.days(row["from"], row["until"]), _days(row["days"], speech)
    said = speech.say("counted", span=span, days=days, images=speech.shown(row["images"]))
    if "estimated" in row:
        found = {"images": row["images"], "counted": row["images"] - row["estimated"], "estimated": row["estimated"]}
        shown = {name: speech.shown(images) for name, images in found.items()}
        said = speech.say("counted_and_estimated", span=span, days=days, **shown)
    if "included" in row:
        included, a_month = speech.shown(row["included"]), speech.shown(row["included_a_month"])
        said += speech.say("included", included=included, a_month=a_month)
    if "cap" in row:
        said += speech.say("capped", above=speech.shown(row["above_cap"]), cap=speech.shown(row["cap"]))
    return said


def _estimate_words(row: Row, _unit: str, speech: Speech) -> str:
    return speech.say(
        "estimated",
        model=printable(row["model"]),
        days=_days(row["days"], speech),
        images=speech.say("n_images", images=speech.shown(row["images"])),
        span=spans_said(row["runs"], speech),
        a_day=speech.shown(row["images_a_day"]),
        reported=speech.say("n_images", images=speech.shown(row["reported_images"])),
        reported_days=_days(row["reported_days"], speech),
        window=speech.days(row["from"], row["until"]),
    )


def _estimate_ended_words(row: Row, _unit: str, speech: Speech) -> str:
    return speech.say(
        "estimate_ended",
        model=printable(row["model"]),
        days=_days(row["days"], speech),
        span=spans_said(row["runs"], speech),
        images=speech.shown(row["images"]),
        reported=speech.say("n_images", images=speech.shown(row["reported"])),
    )


def spans_said(runs: Iterable[Sequence[str]], speech: Speech) -> str:
    """Runs of days, one after the other."""
    return ", ".join(speech.days(start, end) for start, end in runs)


def _price_words(row: Row, unit: str, speech: Speech) -> str:
    price, amount = f"{speech.shown(row['price'])} {unit}", f"{speech.shown(row['amount'])} {unit}"
    found = {"images": speech.shown(row["images"]), "price": price, "amount": amount}
    if "packages" in row:
        packages, size = speech.shown(row["packages"]), speech.shown(row["package_size"])
        return speech.say("packages", **found, packages=packages, size=size)
    said = speech.say("priced", **found)
    if "month_total" in row:
        said += speech.say("volume", images=speech.shown(row["month_total"]))
    if "tier_up_to" in row:
        up_to = row["tier_up_to"]
        said += speech.say("last_tier") if up_to is None else speech.say("tier_up_to", images=speech.shown(up_to))
    return said


def _prorate_words(row: Row, unit: str, speech: Speech) -> str:
    fee, days, of_days = exact_of(row["fee"]), int(row["days"]), int(row["of_days"])
    equals = "=" if fee * days / of_days == exact_of(row["amount"]) else "≈"
    amounts = {name: f"{speech.shown(row[name])} {unit}" for name in ("fee", "amount")}
    return speech.say("prorated", days=days, of_days=of_days, equals=equals, **amounts)


def _commitment_words(row: Row, unit: str, speech: Speech) -> str:
    counted_in = unit if "agreed" in row else speech.say("images")
    span, target = speech.days(row["from"], row["until"]), speech.shown(row["target"])
    said = speech.say("committed", span=span, target=target, unit=counted_in)
    if "agreed" in row and exact_of(row["agreed"]) != exact_of(row["target"]):
        said += speech.say("of_agreed", agreed=speech.shown(row["agreed"]))
    if "carried_in" in row:
        said += speech.say("carried_in", carried=speech.shown(row["carried_in"]))
    if "credit" in row:
        said += speech.say("earlier_excess", credit=speech.shown(row["credit"]))
    counted, missing = speech.shown(row["counted"]), speech.shown(row["missing"])
    said += speech.say("missing", counted=counted, missing=missing, unit=counted_in)
    if "carried_on" in row:
        said += speech.say("carried_on", carried=speech.shown(row["carried_on"]))
    return said


def _block_words(row: Row, unit: str, speech: Speech) -> str:
    """What was bought in advance; a block of images in parts says here what the whole of it costs."""
    counted_in = _counted_in(row, unit, speech)
    span, quantity = speech.days(row["from"], row["until"]), speech.shown(row["quantity"])
    said = speech.say("in_advance", span=span, quantity=quantity, unit=counted_in)
    if exact_of(row["agreed"]) != exact_of(row["target"]):
        said += speech.say("of_whole_period", agreed=speech.shown(row["agreed"]))
    if "ended_on" in row:
        said += speech.say("ended_before", day=speech.shown(row["ended_on"]))
    if "lowered" in row:
        said += speech.say("lowered", lowered=speech.shown(row["lowered"]), unit=counted_in)
    if "price" in row:
        said += f"; × {speech.shown(row['price'])} {printable(row['unit'])}"
    if "rate" in row:
        per = speech.say("per", currency=printable(row["currency"]), unit=printable(row["unit"]))
        said += f" × {speech.shown(row['rate'])} {per}"
    return said


def _instalment_words(row: Row, _unit: str, speech: Speech) -> str:
    money = {name: f"{speech.grouped(row[name])} {printable(row['currency'])}" for name in ("whole", "amount")}
    return speech.say("instalment", part=row["part"], parts=row["parts"], **money)


def _balance_words(row: Row, unit: str, speech: Speech) -> str:
    values = {name: speech.shown(row[name]) for name in ("before", "drawn", "left")}
    span = speech.days(row["from"], row["until"])
    return speech.say("balance", span=span, unit=_counted_in(row, unit, speech), **values)


def _covered_words(row: Row, _unit: str, speech: Speech) -> str:
    said = speech.phrase(row["line"])
    if row["of_images"]:
        said += speech.say("of_images", images=speech.shown(row["images"]), of=speech.shown(row["of_images"]))
    of = f"{speech.grouped(row['of'])} {printable(row['currency'])}"
    return said + speech.say("paid_in_advance", amount=speech.grouped(row["amount"]), of=of)


def _unused_words(row: Row, _unit: str, speech: Speech) -> str:
    """The rest of a balance that is given back, at the price at which it was bought."""
    said = speech.say("unused", span=speech.days(row["from"], row["until"]))
    amount = f"{speech.grouped(row['amount'])} {printable(row['currency'])}"
    if row["kind"] == "money":
        return f"{said}: {amount}"
    found = {"images": speech.shown(row["quantity"]), "price": speech.grouped(row["each"])}
    return f"{said}: {speech.say('priced', amount=amount, **found)}"


def _counted_in(row: Row, unit: str, speech: Speech) -> str:
    return speech.say("images") if row["kind"] == "images" else unit


_WORDS = {
    "count": _count_words,
    "estimate": _estimate_words,
    "estimate ended": _estimate_ended_words,
    "price": _price_words,
    "prorate": _prorate_words,
    "commitment": _commitment_words,
    "block": _block_words,
    "instalment": _instalment_words,
    "balance": _balance_words,
    "covered": _covered_words,
    "unused": _unused_words,
}


def _ending(rows: Iterable[Row], unit: str, speech: Speech) -> list[str]:
    """From the fee to the amount owed for the whole service period, as rating noted it: converted, rounded once."""
    priced = [row for row in rows if row.get("step") in ("price", "prorate")]
    convert = next((row for row in rows if row.get("step") == "convert"), None)
    rounded = next((row for row in rows if row.get("step") == "round"), None)
    exact = sum((exact_of(row["amount"]) for row in priced), start=Fraction(0))
    said = f"{speech.grouped(plain(exact))} {unit}" if priced else ""
    if convert:
        exact, currency = exact_of(convert["exact"]), printable(convert["currency"])
        per = speech.say("per", currency=currency, unit=unit)
        product = f"{speech.grouped(convert['amount'])} {unit} × {speech.grouped(convert['rate'])} {per}"
        said = f"{product} = {speech.grouped(convert['exact'])} {currency}"
    elif len(priced) > 1:
        said = speech.say("together", amount=said)
    if not rounded or not said or exact == 0:
        return []
    if exact != exact_of(rounded["amount"]):
        amount = f"{speech.grouped(rounded['amount'])} {printable(rounded['currency'])}"
        rule = speech.say("half_up_once") if rounded["rule"] == "half up, once" else printable(rounded["rule"])
        return [speech.say("rounded_by", said=said, rule=rule, amount=amount)]
    return [speech.say("exactly", said=said)] if convert or len(priced) > 1 else []


def _other_step(row: Row, unit: str, speech: Speech) -> list[str]:
    """A row of any other shape: its own text, its arithmetic, then whatever else it holds, named."""
    left = {key: value for key, value in row.items() if value is not None and value != ""}
    lead = speech.phrase(left.pop("text", ""))
    if "days" in left:
        days = _days(left.pop("days"), speech)
        lead = f"{lead} ({days})" if lead else days
    unit = printable(left.pop("unit", unit))
    terms = [speech.say("n_images", images=speech.shown(left.pop("images")))] if "images" in left else []
    terms += [f"{speech.shown(left.pop('unit_price'))} {unit}"] if "unit_price" in left else []
    terms = [" × ".join(terms)] if terms else []
    terms += [f"{speech.shown(left.pop('amount'))} {unit}"] if "amount" in left else []
    rest = [f"{printable(key).replace('_', ' ')} {speech.shown(value)}" for key, value in left.items()]
    sentence = "; ".join(([" = ".join(terms)] if terms else []) + rest)
    if lead and sentence and len(lead) > _LONGEST_LEAD:
        return [lead, sentence]
    return [part for part in (": ".join(filter(None, (lead, sentence))),) if part]


def _result(line: Row, currency: str, steps: list[str], speech: Speech) -> Iterable[str]:
    """From the quantity to the fee, and from the fee to the amount on the line; only sums that hold are printed."""
    unit, fee, amount = printable(line["unit"]), exact_of(line["unit_amount"]), exact_of(line["amount"])
    fee_text = f"{speech.grouped(line['unit_amount'])} {unit}"
    count, price = line["image_count"], line["unit_price"]
    if count is not None and price is not None and Fraction(count) * exact_of(price) == fee:
        found = {"images": speech.grouped(count), "price": f"{speech.grouped(price)} {unit}"}
        sentence = speech.say("priced", amount=fee_text, **found)
        if not any(step.endswith(sentence) for step in steps):
            yield sentence
    elif not steps and line.get("kind") != "credit":
        yield speech.say("fee_is", fee=fee_text)
    if fee == amount == 0:
        return
    rate = line["conversion_rate"]
    exact = fee * (exact_of(rate) if rate is not None else 1)
    money = printable(currency)
    product = fee_text
    if rate is not None and (unit != money or exact_of(rate) != 1):
        converted = f"{speech.grouped(rate)} {speech.say('per', currency=money, unit=unit)}"
        product = f"{fee_text} × {converted} = {speech.grouped(plain(exact, 36))} {money}"
    bills = f"{speech.grouped(line['amount'])} {money}"
    if exact == amount:
        if product != fee_text:
            yield speech.say("exactly", said=product)
    elif Money.rounded(exact, currency).amount == amount:
        yield speech.say("rounded", said=product, amount=bills)
    else:
        owed = speech.say("by_difference") if line["adjustment"] else ""
        yield speech.say("line_bills", said=product, amount=bills) + owed


def _days(value: Any, speech: Speech) -> str:
    if isinstance(value, int) or str(value).isdecimal():
        return speech.say("one_day" if str(value) == "1" else "days", days=value)
    return speech.shown(value)
