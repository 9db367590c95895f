"""What is attached to an invoice for spreadsheets and programs: its lines and its daily counts as CSV.

RFC 4180, UTF-8, made from the snapshot alone. Numbers are the snapshot's own, with a point and without grouping. A text
that a spreadsheet would run as a formula gets an apostrophe before it, which spreadsheets take as "this is text".
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from core.invoicing.paper.wording import cleaned, is_number

ATTACHMENTS_VERSION = "csv-2"
LINE_COLUMNS = (
    *("invoice", "line", "kind", "description", "model", "first_day", "last_day", "adjustment", "image_count"),
    *("unit", "unit_price", "unit_amount", "conversion_rate", "currency", "amount", "tax_category", "tax_rate"),
    *("estimated_image_count",),
)
DAY_COLUMNS = ("invoice", "day", "image_count")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # spreadsheets read both widths


def lines_csv(invoice: Mapping[str, Any]) -> bytes:
    """A row for each line of the snapshot. Of the images that a line goes by, `estimated_image_count` are estimated for
    days without a report; it stands empty where none are.
    """
    number, currency = invoice["number"], invoice["currency"]
    rows = []
    for line in invoice["lines"]:
        last = date.fromisoformat(line["service_end"]) - timedelta(days=1)
        found = line | {
            "invoice": number,
            "line": line["no"],
            "first_day": line["service_start"],
            "last_day": last.isoformat(),
            "adjustment": "yes" if line["adjustment"] else "no",
            "currency": currency,
            "estimated_image_count": _estimated(line),
        }
        rows.append([found.get(column) for column in LINE_COLUMNS])
    return _written(LINE_COLUMNS, rows)


def daily_counts_csv(invoice: Mapping[str, Any]) -> bytes:
    """A row for each day with its billed images. Only the header where an invoice is about none."""
    by_day = (invoice.get("usage") or {}).get("by_day") or ()
    return _written(DAY_COLUMNS, ([invoice["number"], row["day"], row["image_count"]] for row in by_day))


def _estimated(line: Mapping[str, Any]) -> int | None:
    rows = [row for row in line.get("workings") or () if row.get("step") == "estimate"]
    return sum(int(row["images"]) for row in rows) if rows else None


def _written(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    text = "" if value is None else cleaned(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) and not is_number(text) else text
