"""The workings of a line in sentences that a person can recompute by hand.

Rating leaves small rows behind (count, price, prorate, commitment, convert, round); here they become words, for the
invoice's document and for whoever asks to have a line explained. An equation that is computed here is printed only if
it holds.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from core.invoicing.wording import days_in_words, exact_of, grouped, printable, shown
from core.money import Money, plain

_LONGEST_LEAD = 60  # characters; a longer text stands on a line of its own


def explain_line(line: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """A line of a snapshot explained: its number, title, service period, and the steps from counts to the amount."""
    rows = line.get("workings") or ()
    steps = [sentence for row in rows for sentence in _step(row, printable(line["unit"]))]
    if any(row.get("step") in ("round", "taken back") for row in rows):
        steps += _ending(rows, printable(line["unit"]))
    else:
        steps += _result(line, currency, steps)
    # What a step says in its own words comes last: how the line follows from what is owed in all.
    steps += [printable(row["text"]) for row in rows if "step" in row and "text" in row]
    return {"no": str(line["no"]), "title": printable(line["description"]), "span": service_span(line), "steps": steps}


def service_span(line: Mapping[str, Any]) -> str:
    """The service period; an adjustment says that it is one, unless its description does."""
    span = days_in_words(line["service_start"], line["service_end"])
    return f"Adjustment to {span}" if line["adjustment"] and "Adjustment" not in line["description"] else span


def _step(row: Mapping[str, Any], unit: str) -> list[str]:
    """One row of workings in words. Conversion and rounding are one sentence, which `_ending` makes."""
    step = row.get("step")
    if step in ("convert", "round") or (step and "text" in row):
        return []
    try:
        return [_WORDS[step](row, unit)] if step in _WORDS else _other_step(row, unit)
    except KeyError:
        return _other_step(row, unit)


def _count_words(row: Mapping[str, Any], _unit: str) -> str:
    said = f"{days_in_words(row['from'], row['until'])} ({_days(row['days'])}): {shown(row['images'])} images counted"
    if "included" in row:
        said += f", {shown(row['included'])} of them among the {shown(row['included_a_month'])} included a month"
    if "cap" in row:
        said += f"; {shown(row['above_cap'])} above the cap of {shown(row['cap'])} a month"
    return said


def _price_words(row: Mapping[str, Any], unit: str) -> str:
    price, amount = f"{shown(row['price'])} {unit}", f"{shown(row['amount'])} {unit}"
    if "packages" in row:
        packages = f"{shown(row['packages'])} packages of {shown(row['package_size'])} images begun"
        return f"{shown(row['images'])} images: {packages} × {price} = {amount}"
    said = f"{shown(row['images'])} images × {price} = {amount}"
    if "month_total" in row:
        said += f"; {shown(row['month_total'])} images in the month set the price for all of them"
    if "tier_up_to" in row:
        up_to = row["tier_up_to"]
        said += "; the last tier" if up_to is None else f"; the tier up to {shown(up_to)} images"
    return said


def _prorate_words(row: Mapping[str, Any], unit: str) -> str:
    fee, days, of_days = exact_of(row["fee"]), int(row["days"]), int(row["of_days"])
    equals = "=" if fee * days / of_days == exact_of(row["amount"]) else "≈"
    return f"{shown(row['fee'])} {unit} × {days} of {of_days} days {equals} {shown(row['amount'])} {unit}"


def _commitment_words(row: Mapping[str, Any], unit: str) -> str:
    counted_in = unit if "agreed" in row else "images"
    said = f"{days_in_words(row['from'], row['until'])}: {shown(row['target'])} {counted_in} committed"
    if "agreed" in row and exact_of(row["agreed"]) != exact_of(row["target"]):
        said += f" (of {shown(row['agreed'])} agreed for the whole term)"
    if "carried_in" in row:
        said += f" + {shown(row['carried_in'])} left over from before"
    if "credit" in row:
        said += f" − {shown(row['credit'])} of earlier excess"
    said += f" − {shown(row['counted'])} counted = {shown(row['missing'])} {counted_in} missing"
    if "carried_on" in row:
        said += f", {shown(row['carried_on'])} of them added to the next target and not charged yet"
    return said


def _block_words(row: Mapping[str, Any], unit: str) -> str:
    """What was bought in advance; a block of images in parts says here what the whole of it costs."""
    counted_in = _counted_in(row, unit)
    said = f"{days_in_words(row['from'], row['until'])}: {shown(row['quantity'])} {counted_in} in advance"
    if exact_of(row["agreed"]) != exact_of(row["target"]):
        said += f" (of {shown(row['agreed'])} for a whole period)"
    if "ended_on" in row:
        said += f"; the agreement ended before {shown(row['ended_on'])}"
    if "lowered" in row:
        said += f"; {shown(row['lowered'])} {counted_in} less for what earlier periods used beyond theirs"
    if "price" in row:
        said += f"; × {shown(row['price'])} {printable(row['unit'])}"
    if "rate" in row:
        said += f" × {shown(row['rate'])} {printable(row['currency'])} per {printable(row['unit'])}"
    return said


def _instalment_words(row: Mapping[str, Any], _unit: str) -> str:
    currency = printable(row["currency"])
    said = f"Part {row['part']} of {row['parts']} of {grouped(row['whole'])} {currency}"
    return f"{said}: {grouped(row['amount'])} {currency}"


def _balance_words(row: Mapping[str, Any], unit: str) -> str:
    arithmetic = f"{shown(row['before'])} − {shown(row['drawn'])} drawn = {shown(row['left'])}"
    return f"Balance for {days_in_words(row['from'], row['until'])}: {arithmetic} {_counted_in(row, unit)} left"


def _covered_words(row: Mapping[str, Any], _unit: str) -> str:
    currency, said = printable(row["currency"]), printable(row["line"])
    if row["of_images"]:
        said += f": {shown(row['images'])} of {shown(row['of_images'])} images"
    return f"{said}, {grouped(row['amount'])} of {grouped(row['of'])} {currency} paid in advance"


def _unused_words(row: Mapping[str, Any], _unit: str) -> str:
    """The rest of a balance that is given back, at the price at which it was bought."""
    currency, said = printable(row["currency"]), f"Unused for {days_in_words(row['from'], row['until'])}"
    if row["kind"] == "money":
        return f"{said}: {grouped(row['amount'])} {currency}"
    return f"{said}: {shown(row['quantity'])} images × {grouped(row['each'])} = {grouped(row['amount'])} {currency}"


def _counted_in(row: Mapping[str, Any], unit: str) -> str:
    return "images" if row["kind"] == "images" else unit


_WORDS = {
    "count": _count_words,
    "price": _price_words,
    "prorate": _prorate_words,
    "commitment": _commitment_words,
    "block": _block_words,
    "instalment": _instalment_words,
    "balance": _balance_words,
    "covered": _covered_words,
    "unused": _unused_words,
}


def _ending(rows: Iterable[Mapping[str, Any]], unit: str) -> list[str]:
    """From the fee to the amount owed for the whole service period, as rating noted it: converted, rounded once."""
    priced = [row for row in rows if row.get("step") in ("price", "prorate")]
    convert = next((row for row in rows if row.get("step") == "convert"), None)
    rounded = next((row for row in rows if row.get("step") == "round"), None)
    exact = sum((exact_of(row["amount"]) for row in priced), start=Fraction(0))
    said = f"{grouped(plain(exact))} {unit}" if priced else ""
    if convert:
        exact, currency = exact_of(convert["exact"]), printable(convert["currency"])
        product = f"{grouped(convert['amount'])} {unit} × {grouped(convert['rate'])} {currency} per {unit}"
        said = f"{product} = {grouped(convert['exact'])} {currency}"
    elif len(priced) > 1:
        said = f"Together {said}"
    if not rounded or not said or exact == 0:
        return []
    if exact != exact_of(rounded["amount"]):
        amount = f"{grouped(rounded['amount'])} {printable(rounded['currency'])}"
        return [f"{said}, rounded {printable(rounded['rule'])}, to {amount}"]
    return [f"{said}, exactly"] if convert or len(priced) > 1 else []


def _other_step(row: Mapping[str, Any], unit: str) -> list[str]:
    """A row of any other shape: its own text, its arithmetic, then whatever else it holds, named."""
    left = {key: value for key, value in row.items() if value is not None and value != ""}
    lead = printable(left.pop("text", ""))
    if "days" in left:
        days = _days(left.pop("days"))
        lead = f"{lead} ({days})" if lead else days
    unit = printable(left.pop("unit", unit))
    terms = [f"{shown(left.pop('images'))} images"] if "images" in left else []
    terms += [f"{shown(left.pop('unit_price'))} {unit}"] if "unit_price" in left else []
    terms = [" × ".join(terms)] if terms else []
    terms += [f"{shown(left.pop('amount'))} {unit}"] if "amount" in left else []
    rest = [f"{printable(key).replace('_', ' ')} {shown(value)}" for key, value in left.items()]
    sentence = "; ".join(([" = ".join(terms)] if terms else []) + rest)
    if lead and sentence and len(lead) > _LONGEST_LEAD:
        return [lead, sentence]
    return [part for part in (": ".join(filter(None, (lead, sentence))),) if part]


def _result(line: Mapping[str, Any], currency: str, steps: list[str]) -> Iterable[str]:
    """From the quantity to the fee, and from the fee to the amount on the line; only sums that hold are printed."""
    unit, fee, amount = printable(line["unit"]), exact_of(line["unit_amount"]), exact_of(line["amount"])
    fee_text = f"{grouped(line['unit_amount'])} {unit}"
    count, price = line["image_count"], line["unit_price"]
    if count is not None and price is not None and Fraction(count) * exact_of(price) == fee:
        sentence = f"{grouped(count)} images × {grouped(price)} {unit} = {fee_text}"
        if not any(step.endswith(sentence) for step in steps):
            yield sentence
    elif not steps:
        yield f"Fee: {fee_text}"
    if fee == amount == 0:
        return
    rate = line["conversion_rate"]
    exact = fee * (exact_of(rate) if rate is not None else 1)
    money = printable(currency)
    product = fee_text
    if rate is not None and (unit != money or exact_of(rate) != 1):
        product = f"{fee_text} × {grouped(rate)} {money} per {unit} = {grouped(plain(exact, 36))} {money}"
    if exact == amount:
        if product != fee_text:
            yield f"{product}, exactly"
    elif Money.rounded(exact, currency).amount == amount:
        yield f"{product}, rounded half up to {grouped(line['amount'])} {money}"
    else:
        owed = ": what is owed for the whole service period, rounded once, less what was billed for it before"
        yield f"{product}; the line bills {grouped(line['amount'])} {money}{owed if line['adjustment'] else ''}"


def _days(value: Any) -> str:
    if isinstance(value, int) or str(value).isdecimal():
        return f"{value} {'day' if str(value) == '1' else 'days'}"
    return shown(value)
