"""Lists that search, filter, sort, page and export, declared once by their columns.

    LICENSEES = Listing(
        columns=(
            Column("name", "Licensee", lambda row: row.name, sort=Licensee.name, href=lambda row: f"/x/{row.slug}"),
            Column("images", "Images", kind="count", value=lambda row: row.images, sort=images),
        ),
        search=(Licensee.name, Licensee.slug),
        filters=(Filter("currency", "Currency", (("USD", "USD"), ("EUR", "EUR")), column=Account.currency),),
        sort="name", file="licensees",
    )

    listed = LICENSEES.read(request, eyes, select(...))   # or LICENSEES.of(request, rows) for rows of a verb
    return listed.answer("licensees/list.html", title=...)  # the page, or the CSV file when that is asked for

In the template: `{{ ui.listing(listed) }}`. Whatever the address says that makes no sense is left aside.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from fastapi import Request
from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.money import Money
from service.dashboard.rendering import page
from service.routes.finance.csv_cells import csv_chunks

Kind = Literal["text", "count", "money", "decimal", "percent", "day", "month", "moment", "badge", "custom"]
RIGHT = {"count", "money", "decimal", "percent"}
SIZES = (25, 50, 100, 200)
MOST_EXPORTED = 100_000
_MOST_PAGES = 100_000


@dataclass(frozen=True)
class Column:
    """A column. `value` takes a row to what the cell shows; `kind` says how it is written.

    kinds: `money` takes a Money or (minor units, currency); `badge` a status word; `custom` is written by the template
    in `{% call(row, column) ui.listing(listed) %}`. `sort`: SQL, or True to sort rows in Python by `value`.
    """

    name: str
    label: str
    value: Callable[[Any], Any]
    kind: Kind = "text"
    sort: Any = None
    href: Callable[[Any], str | None] | None = None
    note: Callable[[Any], Any] | None = None  # a quiet second line
    wide_only: bool = False  # left out on a phone
    export: bool = True

    @property
    def right(self) -> bool:
        return self.kind in RIGHT


@dataclass(frozen=True)
class Filter:
    """A choice above the list: by a column's value, or with `where` a condition for each option."""

    name: str
    label: str
    options: Sequence[tuple[str, str]]
    column: Any = None
    where: Callable[[str], Any] | None = None
    keep: Callable[[Any, str], bool] | None = None  # for rows in Python
    default: str = ""


@dataclass
class Listed:
    """One page of a list as somebody asked for it."""

    listing: "Listing"
    request: Request
    rows: Sequence[Any]
    total: int | None
    page: int
    size: int
    more: bool
    sort: str
    q: str
    chosen: dict[str, str] = field(default_factory=dict)
    every: Callable[[], Iterable[Any]] = field(default=lambda: ())
    asked: Select[Any] | None = None  # what was found, without order or limit: for sums over it

    @property
    def first(self) -> int:
        return (self.page - 1) * self.size + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return (self.page - 1) * self.size + len(self.rows)

    @property
    def narrowed(self) -> bool:
        """Whether something was searched or filtered, so that an empty list means nothing was found."""
        defaults = {each.name: each.default for each in self.listing.filters}
        return bool(self.q) or any(value != defaults[name] for name, value in self.chosen.items())

    def direction(self, column: Column) -> str:
        """`ascending`, `descending` or `none`, as aria-sort says it."""
        if self.sort.lstrip("-") != column.name:
            return "none"
        return "descending" if self.sort.startswith("-") else "ascending"

    def address(self, **changes: Any) -> str:
        """The address of this list with something changed: `listed.address(page=2)`. None leaves a thing out."""
        mark = self.listing.mark
        kept = [(name, value) for name, value in self.request.query_params.multi_items() if not self._mine(name)]
        said: dict[str, Any] = {"q": self.q, **self.chosen, "sort": self.sort, "page": self.page, "size": self.size}
        said.update(changes)
        plain = {"q": "", "sort": self.listing.sort, "page": 1, "size": self.listing.size, "format": None}
        plain.update({each.name: each.default for each in self.listing.filters})
        kept += [(mark + name, str(value)) for name, value in said.items() if value not in (None, plain.get(name))]
        return f"{self.request.url.path}?{urlencode(kept)}" if kept else self.request.url.path

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What the form above the list has to carry along: everything in the address but what it says itself."""
        mark = self.listing.mark
        said = {mark + name for name in ("q", "page", "format", *(each.name for each in self.listing.filters))}
        return [(name, value) for name, value in self.request.query_params.multi_items() if name not in said]

    def _mine(self, name: str) -> bool:
        mark = self.listing.mark
        names = {"q", "sort", "page", "size", "format", *(each.name for each in self.listing.filters)}
        return name.startswith(mark) and name.removeprefix(mark) in names

    @property
    def wants_csv(self) -> bool:
        return self.request.query_params.get(f"{self.listing.mark}format") == "csv"

    def answer(self, template: str, **values: Any) -> Response:
        """The page with this list on it as `listed`, or all that was found as a CSV file."""
        if self.wants_csv:
            return self.csv()
        return page(self.request, template, listed=self, **values)

    def csv(self) -> Response:
        """Every row that was found, not only this page's; text that a spreadsheet would compute is defused."""
        columns = [each for each in self.listing.columns if each.export]
        header: list[str] = []
        for each in columns:
            header += [each.label, f"{each.label}: currency"] if each.kind == "money" else [each.label]
        rows = (tuple(cell for each in columns for cell in _cells(each, row)) for row in self.every())
        content = b"".join(csv_chunks(tuple(header), rows))
        name = f'attachment; filename="{self.listing.file}.csv"'
        return Response(b"\xef\xbb\xbf" + content, headers={"Content-Disposition": name}, media_type="text/csv")


@dataclass(frozen=True)
class Listing:
    """What a list is made of. `mark` goes before the names in the address where a page has several lists."""

    columns: Sequence[Column]
    sort: str
    search: Sequence[Any] = ()
    filters: Sequence[Filter] = ()
    size: int = 50
    mark: str = ""
    file: str = "list"
    label: str = "List"
    search_label: str = "Search"
    empty: str = "Nothing yet."
    counted: bool = True  # False for logs without end: no total, only whether there is more
    searchable: bool = True

    def read(self, request: Request, session: Session, asked: Select[Any], *, scalars: bool = False) -> Listed:
        """The page that the address asks for, of a query without order or limit. Two queries: rows and their number.

        `scalars`: rows are the first thing of each, such as an entity.
        """
        listed = self._asked(request)
        for column in (self._column(listed.sort),):
            if column is not None and (column.sort is None or column.sort is True):
                listed.sort = self.sort
        if listed.q and self.search:
            words = [f"%{_escaped(word)}%" for word in listed.q.split()]
            for word in words:
                asked = asked.where(or_(*(each.ilike(word, escape="\\") for each in self.search)))
        for each in self.filters:
            value = listed.chosen[each.name]
            if value and each.where is not None:
                asked = asked.where(each.where(value))
            elif value and each.column is not None:
                asked = asked.where(each.column == value)
        listed.asked = asked
        ordered = asked.order_by(*self._order(listed.sort))

        def run(query: Select[Any]) -> list[Any]:
            return list(session.scalars(query) if scalars else session.execute(query))

        listed.every = lambda: run(ordered.limit(MOST_EXPORTED))
        if listed.wants_csv:
            return listed
        if self.counted:
            listed.total = session.scalar(select(func.count()).select_from(asked.order_by(None).subquery())) or 0
            listed.page = min(listed.page, max(1, -(-listed.total // listed.size)))
        found = run(ordered.limit(listed.size + 1).offset((listed.page - 1) * listed.size))
        listed.rows, listed.more = found[: listed.size], len(found) > listed.size
        return listed

    def of(self, request: Request, rows: Iterable[Any]) -> Listed:
        """The same over rows that a verb gave: searched in the text of their cells, sorted by their values."""
        listed = self._asked(request)
        found = list(rows)
        for word in listed.q.lower().split():
            found = [row for row in found if any(word in _text(each, row).lower() for each in self.columns)]
        for each in self.filters:
            value = listed.chosen[each.name]
            if value and each.keep is not None:
                keep = each.keep
                found = [row for row in found if keep(row, value)]
        column = self._column(listed.sort)
        if column is not None and column.sort is not None:
            value_of = column.value
            there = [row for row in found if value_of(row) is not None]
            there.sort(key=lambda row: _sortable(value_of(row)), reverse=listed.sort.startswith("-"))
            found = there + [row for row in found if value_of(row) is None]
        listed.every = lambda: found
        listed.total = len(found)
        listed.page = min(listed.page, max(1, -(-len(found) // listed.size)))
        start = (listed.page - 1) * listed.size
        listed.rows, listed.more = found[start : start + listed.size], len(found) > start + listed.size
        return listed

    def _asked(self, request: Request) -> Listed:
        """What the address asks for; what makes no sense is left aside."""

        def said(name: str) -> str:
            return request.query_params.get(self.mark + name, "")

        chosen = {}
        for each in self.filters:
            value = said(each.name)
            known = {option for option, _ in each.options}
            anything = value == "" and (self.mark + each.name) in request.query_params
            chosen[each.name] = value if value in known or anything else each.default
        sort = said("sort")
        column = self._column(sort)
        return Listed(
            listing=self, request=request, rows=(), total=None,
            page=_number(said("page"), 1, _MOST_PAGES),
            size=size if (size := _number(said("size"), self.size, 1000)) in SIZES else self.size,
            more=False,
            sort=sort if column is not None and column.sort is not None else self.sort,
            q=said("q").replace("\x00", "").strip()[:200].encode("utf-8", "ignore").decode(),
            chosen=chosen,
        )  # fmt: skip

    def _column(self, sort: str) -> Column | None:
        name = sort.lstrip("-")
        return next((each for each in self.columns if each.name == name), None)

    def _order(self, sort: str) -> list[ColumnElement[Any]]:
        """By the column, then by the first one, so that pages never overlap."""
        column = self._column(sort)
        if column is None or column.sort is None or column.sort is True:
            return []
        keys = column.sort if isinstance(column.sort, tuple) else (column.sort,)
        down = sort.startswith("-")
        order = [key.desc().nulls_last() if down else key.asc().nulls_last() for key in keys]
        rest = self._column(self.sort)
        if rest is not None and rest is not column and rest.sort is not None and rest.sort is not True:
            order += list(rest.sort) if isinstance(rest.sort, tuple) else [rest.sort]
        return order


def _number(text: str, otherwise: int, most: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most else otherwise


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _cells(column: Column, row: Any) -> list[object]:
    value = column.value(row)
    if column.kind != "money":
        return [value]
    if isinstance(value, tuple):
        value = Money(value[1], value[0]) if value[0] is not None else None
    return [value.amount, value.currency] if value is not None else [None, None]


def _text(column: Column, row: Any) -> str:
    note = column.note(row) if column.note else ""
    return f"{column.value(row)} {note or ''}"


def _sortable(value: Any) -> Any:
    if isinstance(value, tuple):
        return (value[1], value[0])  # money by currency, then amount
    return value.lower() if isinstance(value, str) else value
