"""A fee or a commitment of a terms document in one sentence, as an explanation quotes it."""

from collections.abc import Mapping
from typing import Any


def clause_in_words(clause: Mapping[str, Any], unit: str, currency: str) -> str:
    """The clause in words: "Anima images: 5 BUZZ an image"."""
    said = _fee(clause, unit) if "schedule" in clause else _commitment(clause, unit, currency)
    return f"{clause['name']}: {'; '.join(said)}."


def _fee(fee: Mapping[str, Any], unit: str) -> list[str]:
    schedule = fee["schedule"]
    kind = schedule["kind"]
    said = []
    if kind == "flat":
        said.append(f"{schedule['rate']} {unit} an image")
    elif kind == "package":
        said.append(f"{schedule['price']} {unit} for every {schedule['size']:,} images begun")
    elif kind == "zero":
        said.append("nothing for an image")
    else:
        tiers = [
            f"{tier['rate']} {unit} up to {tier['up_to']:,}" if tier.get("up_to") else f"{tier['rate']} {unit} beyond"
            for tier in schedule["tiers"]
        ]
        how = "each image at its tier's price" if kind == "graduated" else "all images at the price of the tier reached"
        said.append(f"{', '.join(tiers)} ({how})")
    if fee.get("included_images"):
        said.append(f"the first {fee['included_images']:,} of a month are included")
    if fee.get("base_fee"):
        said.append(f"{fee['base_fee']} {unit} a month")
    if fee.get("cap"):
        said.append(f"a {fee['cap']['kind']} cap of {fee['cap']['images']:,} images a month")
    if fee.get("per") == "group" and fee.get("models"):
        said.append(f"counted together: {', '.join(fee['models'])}")
    return said


def _commitment(commitment: Mapping[str, Any], unit: str, currency: str) -> list[str]:
    period = {"term": "over the term"}.get(commitment["period"], f"a {commitment['period']}")
    if commitment["kind"] == "images":
        said = [f"{commitment['quantity']:,} images {period}"]
    else:
        said = [f"{commitment['quantity']} {currency} {period}"]
    if commitment.get("shortfall_rate"):
        said.append(f"{commitment['shortfall_rate']} {unit} for each that is missing")
    if commitment.get("prepaid_rate"):
        said.append(f"{commitment['prepaid_rate']} {unit} each in advance")
    if commitment.get("billing") in ("advance", "instalments"):
        said.append("paid in advance and drawn down")
    if commitment.get("models"):
        said.append(f"counting {', '.join(commitment['models'])}")
    return said
