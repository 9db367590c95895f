"""The workings behind each line, printed so that a person can recompute them by hand."""

from typing import Any

from core.invoicing.paper.document import render_pdf
from tests.core.invoicing.papers import line_of, pages, text_of


def test_the_workings_can_be_recomputed_by_hand(invoice: dict[str, Any]) -> None:
    second = pages(render_pdf(invoice))[1]
    assert "How these amounts were worked out" in second
    assert "October 2026 (31 days): 6006709 images counted 6006709 images × 12 BUZZ = 72080508 BUZZ" in second
    product = "72080508 BUZZ × 0.001 USD per BUZZ = 72080.508 USD"
    assert f"{product}, rounded half up, once, to 72080.51 USD" in second
    assert "250000 BUZZ × 31 of 31 days = 250000 BUZZ" in second
    assert "250000 BUZZ × 0.001 USD per BUZZ = 250 USD, exactly" in second
    assert "1,814.45 USD billed before for 151,204 images; this line is the difference" in second


def test_tiers_packages_caps_and_included_images_are_put_into_words(invoice: dict[str, Any]) -> None:
    days = {"from": "2026-10-10", "until": "2026-11-01", "days": 22}
    rounded = {"step": "round", "rule": "half up, once", "amount": "1502.01", "currency": "USD"}
    steps = [
        {"step": "count", **days, "images": 250150, "included": 100000, "included_a_month": 100000}
        | {"cap": 10000, "cap_kind": "soft", "above_cap": 240150},
        {"step": "price", "images": 150000, "price": "0.01", "amount": "1500", "tier_up_to": 150000},
        {"step": "price", "images": 150, "price": "0.01337", "amount": "2.0055", "tier_up_to": None},
        {**rounded},
    ]
    invoice["lines"] = [line_of(invoice, workings=steps, unit="USD", unit_price=None, unit_amount="1502.0055")]
    printed = text_of(invoice)
    assert "10 to 31 October 2026 (22 days): 250150 images counted, 100000 of them among the 100000 included" in printed
    assert "240150 above the cap of 10000 a month" in printed
    assert "150000 images × 0.01 USD = 1500 USD; the tier up to 150000 images" in printed
    assert "150 images × 0.01337 USD = 2.0055 USD; the last tier" in printed
    assert "Together 1502.0055 USD, rounded half up, once, to 1502.01 USD" in printed
    packages = {"step": "price", "images": 2001, "price": "5", "amount": "15", "packages": 3, "package_size": 1000}
    invoice["lines"] = [line_of(invoice, workings=[packages, rounded | {"amount": "15.00"}], unit="USD")]
    assert "2001 images: 3 packages of 1000 images begun × 5 USD = 15 USD" in text_of(invoice)


def test_prorating_that_no_decimal_can_hold_is_marked_as_near(invoice: dict[str, Any]) -> None:
    part = {"step": "prorate", "fee": "999", "days": 17, "of_days": 31, "amount": "547.838709677419"}
    rounded = {"step": "round", "rule": "half up, once", "amount": "547.84", "currency": "USD"}
    invoice["lines"] = [line_of(invoice, workings=[part, rounded], unit="USD", unit_amount="547.838709677419")]
    printed = text_of(invoice)
    assert "999 USD × 17 of 31 days ≈ 547.838709677419 USD" in printed
    assert "547.838709677419 USD, rounded half up, once, to 547.84 USD" in printed


def test_a_shortfall_shows_target_count_and_what_is_missing(invoice: dict[str, Any]) -> None:
    year = {"step": "commitment", "from": "2026-01-01", "until": "2027-01-01", "days": 365}
    in_images = year | {"target": 42000000, "counted": 30000000, "missing": 12000000}
    invoice["lines"] = [line_of(invoice, workings=[in_images])]
    missing = "42000000 images committed − 30000000 counted = 12000000 images missing"
    assert f"1 January to 31 December 2026: {missing}" in text_of(invoice)
    in_money = year | {"agreed": "5000", "target": "2500", "counted": "2000.5", "missing": "499.5"}
    invoice["lines"] = [line_of(invoice, workings=[in_money], unit="USD")]
    assert "2500 USD committed (of 5000 agreed for the whole term) − 2000.5 counted = 499.5 USD" in text_of(invoice)


def test_a_step_that_lacks_a_part_is_still_printed(invoice: dict[str, Any]) -> None:
    invoice["lines"] = [line_of(invoice, workings=[{"step": "count", "images": 7}])]
    assert "7 images; step count" in text_of(invoice)


def test_a_product_that_needs_no_rounding_is_called_exact(invoice: dict[str, Any]) -> None:
    invoice["lines"] = [line_of(invoice, image_count=1500, unit_amount="18000", amount="18.00")]
    assert "18000 BUZZ × 0.001 USD per BUZZ = 18 USD, exactly" in text_of(invoice)


def test_a_product_that_does_not_hold_is_not_printed(invoice: dict[str, Any]) -> None:
    """Tiers and prorating make a fee that is not images times price; a false equation would be worse than none."""
    invoice["lines"] = [line_of(invoice, image_count=1501, unit_amount="18000", amount="18.00")]
    assert "1501 images ×" not in text_of(invoice)


def test_an_adjustment_billed_by_difference_says_so_instead_of_claiming_a_rounding(invoice: dict[str, Any]) -> None:
    by_difference = line_of(invoice, image_count=1, unit_amount="12", amount="0.02", adjustment=True)
    invoice["lines"] = [by_difference]
    assert "0.012 USD; the line bills 0.02 USD: what is owed for the whole service period" in text_of(invoice)


def test_unknown_workings_are_printed_with_their_names(invoice: dict[str, Any]) -> None:
    steps = [{"tier": 2, "up_to": "250000", "images": 150000, "unit_price": "0.01", "amount": "1500.00"}, {"days": 1}]
    invoice["lines"] = [line_of(invoice, workings=steps, unit="USD", unit_amount="1500.00", amount="1500.00")]
    printed = text_of(invoice)
    assert "150000 images × 0.01 USD = 1500.00 USD; tier 2; up to 250000" in printed
    assert "1 day" in printed
