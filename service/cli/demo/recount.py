"""The demo's totals worked out a second time, straight from the file, sharing no arithmetic with the core.

Whole numbers only: cents, images, and prices in thousandths of a cent. If the two disagree, one of them is wrong.
"""

import csv
from collections import Counter
from pathlib import Path

# What the demo's platforms take of every model's images, by cumulative parts of a hundred.
_UP_TO = {"brightforge": (0, 30), "palette-works": (30, 80), "tinybrush": (80, 100)}


def images_by_platform(figures: Path) -> dict[str, Counter[str]]:
    """Images per platform and base family, from the file's own columns."""
    counted: dict[str, Counter[str]] = {platform: Counter() for platform in _UP_TO}
    with figures.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            images = int(row["images_last_month"])
            for platform, (low, high) in _UP_TO.items():
                counted[platform][row["base_model"]] += images * high // 100 - images * low // 100
    return counted


def totals_in_cents(counted: dict[str, Counter[str]]) -> dict[str, int]:
    """What each platform owes for the month, in US cents, each line rounded half up.

    brightforge: 5 Buzz an image, 1,000 Buzz = 1 USD, so half a cent. palette-works: 12 Buzz, so 1.2 cents; its
    commitment runs on. tinybrush: 999 USD a model, 100,000 images included, 1 cent for each further one.
    """
    return {
        "brightforge": sum((images * 5 + 5) // 10 for images in counted["brightforge"].values()),
        "palette-works": sum((images * 12 + 5) // 10 for images in counted["palette-works"].values()),
        "tinybrush": sum(99_900 + max(0, images - 100_000) for images in counted["tinybrush"].values()),
    }
