"""Reads a bank's CSV file of transactions: pure, from text to rows. Only what came in is kept.

Banks name their columns as they like; the usual English, German and Japanese names are known, and others can be given.
Amounts are read exactly, with a point or a comma. A row's fingerprint says which transaction it is, in whatever file it
stands: the bank's own id where there is one, else its content and which one of equal rows of its day it is.
"""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from core.errors import InvalidInput
from core.money import Money, decimal_of, exponent

MAX_ROWS, MAX_TEXT = 50_000, 500
NAMES: Mapping[str, tuple[str, ...]] = {
    "date": ("value date", "valuta", "valutadatum", "wertstellung", "date", "booking date", "booked on",
             "transaction date", "buchungstag", "buchungsdatum", "日付", "取引日"),
    "amount": ("amount", "betrag", "betrag (eur)", "umsatz", "credit", "paid in", "金額", "入金額", "お預り金額"),
    "currency": ("currency", "währung", "waehrung", "通貨"),
    "payer": ("payer", "name", "counterparty", "from", "auftraggeber", "beguenstigter/zahlungspflichtiger",
              "begünstigter/zahlungspflichtiger", "name zahlungsbeteiligter", "振込依頼人", "摘要"),
    "reference": ("reference", "description", "details", "purpose", "payment reference", "memo", "verwendungszweck",
                  "buchungstext", "備考"),
    "id": ("id", "transaction id", "bank reference", "transaktions-id", "referenz"),
}  # fmt: skip
NEEDED = ("date", "amount")
_DAY = (
    (re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", re.ASCII), (1, 2, 3)),
    (re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII), (3, 2, 1)),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One incoming transaction: where it stands in the file, and what the bank says about it."""

    no: int
    booked_on: date
    amount: Money
    payer: str
    reference: str
    fingerprint: str


def read_statement(content: bytes, currency: str, columns: Mapping[str, str] | None = None) -> list[Row]:
    """The incoming rows of a CSV file. `currency` holds where no column says one; `columns` gives names of columns.

    Raises `InvalidInput` that names the line. Either the whole file can be read or nothing of it.
    """
    text = _text(content)
    exponent(currency)
    lines, head = _lines(text, columns or {})
    if len(lines) > MAX_ROWS:
        raise InvalidInput("too_many_rows", f"a statement has at most {MAX_ROWS:,} rows; split the file")
    at = _columns(lines[head], columns or {})
    rows: list[Row] = []
    seen: Counter[str] = Counter()
    for no, line in enumerate(lines[head + 1 :], start=head + 2):
        if not any(cell.strip() for cell in line):
            continue
        said = {what: line[column].strip() if column < len(line) else "" for what, column in at.items()}
        row = _row(no, said, currency, seen)
        if row is not None:
            rows.append(row)
    return rows


def _row(no: int, said: Mapping[str, str], currency: str, seen: Counter[str]) -> Row | None:
    try:
        amount = _amount(said["amount"], said.get("currency") or currency)
        booked_on = _day(said["date"])
    except InvalidInput as refused:
        raise InvalidInput(refused.code, f"line {no}: {refused.sentence}") from None
    if amount.minor <= 0:
        return None
    payer, reference = _clean(said.get("payer", "")), _clean(said.get("reference", ""))
    identity = said.get("id") or "|".join((booked_on.isoformat(), amount.currency, str(amount.minor), payer, reference))
    seen[identity] += 1
    if said.get("id") and seen[identity] > 1:
        raise InvalidInput("id_twice", f"line {no}: the bank's id {said['id'][:80]} stands there twice")
    digest = hashlib.sha256(f"{'id' if said.get('id') else 'row'}|{identity}|{seen[identity]}".encode()).hexdigest()
    return Row(no, booked_on, amount, payer, reference, digest[:32])


def _text(content: bytes) -> str:
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise InvalidInput("not_text", "the file is no text: export it from the bank as CSV in UTF-8")


def _lines(text: str, given: Mapping[str, str]) -> tuple[list[list[str]], int]:
    """The cells of each line, and which line names the columns: with whatever separator there is such a line."""
    wrong = ""
    for separator in ",;\t":
        try:
            lines = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
        except csv.Error as error:
            wrong = wrong or f"the file is no CSV: {error}"
            continue
        for n, line in enumerate(lines):
            if _columns(line, given).keys() >= set(NEEDED):
                return lines, n
    known = ", ".join(f"{what} ({', '.join(NAMES[what][:3])} ...)" for what in NEEDED)
    raise InvalidInput("no_columns", wrong or f"no line names the columns {known}: say which with --column")


def _columns(line: Sequence[str], given: Mapping[str, str]) -> dict[str, int]:
    """Which column is what, by the names in a line."""
    named = {cell.strip().strip("\ufeff").casefold(): n for n, cell in reversed(list(enumerate(line)))}
    wanted = {what: (given[what].casefold(),) if what in given else NAMES[what] for what in NAMES}
    return {what: named[name] for what, names in wanted.items() for name in reversed(names) if name in named}


def _amount(text: str, currency: str) -> Money:
    """An exact amount. Of a comma and a point the last is the decimal one; several of one kind cut thousands. One
    alone, followed by three digits, could be either and is refused unless the currency tells which."""
    code = currency.strip().upper()
    places = exponent(code)
    plain = text.replace("\u00a0", "").replace(" ", "").replace("'", "").lstrip("+")
    marks = re.findall(r"[.,]", plain)
    whole, part = plain, ""
    if len(set(marks)) == 2 or len(marks) == 1:
        whole, _, part = plain.rpartition(marks[-1])
    if not _grouped(whole) or (plain != whole and marks[-1] in whole):
        raise InvalidInput("not_an_amount", f"{text[:40]!r} is no amount")
    if len(marks) == 1 and len(part) == 3 and places != 3:
        if places:
            raise InvalidInput("unclear_amount", f"{text[:40]!r} may be thousands or decimals: write it in full")
        whole, part = whole + part, ""
    plain = re.sub(r"[.,]", "", whole) + (f".{part}" if part else "")
    exact = decimal_of(plain, "the amount")
    minor = exact.scaleb(places)
    if minor != minor.to_integral_value() or abs(minor) >= Decimal(10) ** 18:
        raise InvalidInput("not_an_amount", f"{text[:40]!r} has more decimals than {code} or is too large")
    return Money(code, int(minor))


def _grouped(whole: str) -> bool:
    """Whether separators in the whole part, if any, are of one kind and cut it into thousands."""
    groups = re.split(r"[.,]", whole.lstrip("-"))
    kinds = set(re.findall(r"[.,]", whole))
    return len(kinds) <= 1 and (len(groups) == 1 or all(len(group) == 3 for group in groups[1:]))


def _day(text: str) -> date:
    for pattern, (year, month, day) in _DAY:
        found = pattern.fullmatch(text.split(" ", maxsplit=1)[0].split("T", maxsplit=1)[0])
        if found:
            try:
                return date(int(found[year]), int(found[month]), int(found[day]))
            except ValueError:
                break
    raise InvalidInput("not_a_day", f"{text[:40]!r} is no day: write 2026-11-30 or 30.11.2026")


def _clean(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:MAX_TEXT]
