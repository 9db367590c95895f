"""A catalogue: what a YAML file declares about licensors, models, licensees, units, accounts and agreements.

    about?: free text
    licensors?: [{slug, name, invoice_prefix, address?: [..], email?, tax_id?, brand?: {..},
                  second_person_above_minor?: 1000000}]
    models?: [{slug, name, licensor, kind: checkpoint, owes?: own, air?, aliases?: [..], derivatives?: [
                {slug, name, kind: lora | fine-tune | merge, owes?: base | own | both, licensor?, air?, aliases?,
                 bases?: [further bases of a merge], derivatives?}]}]
    licensees?: [{slug, name, address?, email?, tax_id?}]
    units?: [{code: BUZZ, name: Buzz, decimals: 0}]
    accounts?: [{licensor, licensee, currency: USD, zone?: UTC, billing?: {..}, second_person_above_minor?: 1000000}]
    agreements?: [{slug, name?, account: {licensor, licensee}, starts_on, ends_on, draft?: true, terms: {..},
                   amendments?: [{effective_on, terms: {..}}],
                   ends_early?: {on, kind: terminated | revoked, reason, by?: licensor | licensee | both}}]

Billing details: `billing.py`. Brand: `branding.py`.

A derivative owes its base's fee unless `owes` says otherwise. `ends_on` is the first day no longer agreed, and
`ends_early.on` the first day no longer covered of an agreement that was terminated (by both, unless `by` says
otherwise) or revoked (by the licensor). An amendment covers what its terms name: a model they leave out is taken out
from its day on. A file may name the end that a term had before it was extended. What a file leaves out is left as it
stands. Reading is strict: what is not understood is refused with its path and what to write instead.
"""

import re
from dataclasses import dataclass, field
from datetime import date

from core.agreements.reading import Section, currency_code, day, flag, many, one_of, refuse, text, unit_code
from core.agreements.signable import is_currency
from core.agreements.terms import Terms, parse_terms
from core.catalogue.billing import billing_in, limit_in
from core.catalogue.branding import Pictures, brand_in
from core.catalogue.texts import MAX_NAME, email, line, name
from core.errors import InvalidInput
from core.period import Period, zone_of
from core.registry.entries import AccountEntry, Contact, LicenseeEntry, LicensorEntry, ModelEntry
from core.registry.lineage import owes_of
from core.registry.tax_ids import check_tax_id

MAX_DECIMALS = 12
DERIVATIVE_KINDS = ("lora", "fine-tune", "merge")
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?", re.ASCII)
_PREFIX = re.compile(r"[A-Z][A-Z0-9]{0,11}", re.ASCII)
_AIR = re.compile(r"urn:air:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]+:[^\s:@]+(@[^\s:@]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class UnitEntry:
    """A platform credit in which fees may be agreed."""

    code: str
    name: str
    decimals: int


@dataclass(frozen=True, slots=True)
class EndsEarly:
    """An end before the term is over: `on` is the first day no longer covered. `by` of None says nothing about it."""

    on: date
    kind: str
    reason: str
    by: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} on {self.on}: {self.reason}"


@dataclass(frozen=True, slots=True)
class AgreementEntry:
    """An agreement: `versions` are the first terms and its amendments, each with its first day, in order of number.

    `former_ends` is known of what stands only: the ends that the term had before it was extended.
    """

    slug: str
    name: str | None
    licensor: str
    licensee: str
    term: Period
    versions: tuple[tuple[date, Terms], ...]
    draft: bool = False
    ends_early: EndsEarly | None = None
    former_ends: frozenset[date] = field(default=frozenset(), compare=False)

    @property
    def in_force(self) -> Period:
        """The days of the term that an early end leaves."""
        return Period(self.term.start, self.ends_early.on) if self.ends_early else self.term


@dataclass(frozen=True, slots=True)
class Declared:
    """What was declared, by kind and key; `paths` says where in the file. Also what stands, with nothing in `paths`.

    An account's key is (licensor, licensee). An account without a zone in the file says nothing about it: its key is in
    `zoneless`.
    """

    about: str = ""
    licensors: dict[str, LicensorEntry] = field(default_factory=dict)
    licensees: dict[str, LicenseeEntry] = field(default_factory=dict)
    models: dict[str, ModelEntry] = field(default_factory=dict)
    units: dict[str, UnitEntry] = field(default_factory=dict)
    accounts: dict[tuple[str, str], AccountEntry] = field(default_factory=dict)
    agreements: dict[str, AgreementEntry] = field(default_factory=dict)
    zoneless: frozenset[tuple[str, str]] = frozenset()
    paths: dict[tuple[str, object], str] = field(default_factory=dict)


def parse_catalogue(document: object, pictures: Pictures | None = None) -> Declared:
    """What a loaded YAML document declares; `pictures` gives the logos it names. Raises `InvalidInput`, code
    `invalid_catalogue`, detail `path`.
    """
    try:
        return _Reader(pictures).catalogue(document)
    except InvalidInput as error:
        place = error.detail.get("path", "")
        sentence = error.sentence if place else error.sentence.replace("terms:", "the file:", 1)
        raise InvalidInput("invalid_catalogue", sentence, path=place) from None


def slug_of(value: object, path: str) -> str:
    """A name for machines that will never change."""
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        refuse(
            path,
            "write 1 to 100 lower-case letters, digits and hyphens, such as anima-1, with a letter or digit at both "
            f"ends, not {_shown(value)}",
        )
    return value


def tax_id(value: object, path: str) -> str:
    """A tax id of a form that exists, or nothing."""
    found = line(value, path)
    try:
        check_tax_id(found)
    except InvalidInput as error:
        refuse(path, error.sentence)
    return found


def alias(value: object, path: str) -> str:
    """Another name by which platforms report a model, exactly as they send it."""
    found = name(value, path)
    if found != value:
        refuse(path, f"a model's name is compared exactly: leave out the spaces around {_shown(value)}")
    return found


def air(value: object, path: str) -> str:
    """An AI Resource Name."""
    if not isinstance(value, str) or not _AIR.fullmatch(value) or len(value) > MAX_NAME:
        refuse(path, f"write an AIR such as urn:air:flux1:checkpoint:civitai:618692@691639, not {_shown(value)}")
    return value


class _Reader:
    """Reads one document, remembering where each thing was declared so that a second one can be refused."""

    def __init__(self, pictures: Pictures | None) -> None:
        self.pictures = pictures
        self.paths: dict[tuple[str, object], str] = {}
        self.zoneless: set[tuple[str, str]] = set()
        self.prefixes: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def catalogue(self, document: object) -> Declared:
        part = Section(document, "")
        about = part.optional("about", text, "")
        licensors = part.optional("licensors", many(self._licensor), ())
        models = part.optional("models", many(self._tree), ())
        licensees = part.optional("licensees", many(self._licensee), ())
        units = part.optional("units", many(self._unit), ())
        accounts = part.optional("accounts", many(self._account), ())
        agreements = part.optional("agreements", many(self._agreement), ())
        part.done()
        if not self.paths:
            refuse("", f"this declares nothing: write one of {', '.join(part.known[1:])}")
        return Declared(
            about=about,
            licensors={entry.slug: entry for entry in licensors},
            licensees={entry.slug: entry for entry in licensees},
            models={entry.slug: entry for tree in models for entry in tree},
            units={entry.code: entry for entry in units},
            accounts={(entry.licensor, entry.licensee): entry for entry in accounts},
            agreements={entry.slug: entry for entry in agreements},
            zoneless=frozenset(self.zoneless),
            paths=self.paths,
        )

    def _once(self, kind: str, key: object, path: str) -> None:
        """Refuses a second declaration of the same thing."""
        shown = " with ".join(key) if isinstance(key, tuple) else key
        first = self.paths.setdefault((kind, key), path)
        if first != path:
            refuse(path, f"{kind} {shown} is declared at {first} already: keep one of the two")

    def _contact(self, part: Section) -> Contact:
        return Contact(
            name=part.required("name", name),
            address=part.optional("address", many(line), None),
            email=part.optional("email", email, None),
            tax_id=part.optional("tax_id", tax_id, None),
        )

    def _licensor(self, value: object, path: str) -> LicensorEntry:
        part = Section(value, path)
        entry = LicensorEntry(
            part.required("slug", slug_of),
            self._contact(part),
            part.required("invoice_prefix", _prefix),
            part.optional("second_person_above_minor", limit_in, None),
            part.optional("brand", brand_in(self.pictures), None),
        )
        part.done()
        self._once("licensor", entry.slug, path)
        first = self.prefixes.setdefault(entry.invoice_prefix, entry.slug)
        if first != entry.slug:
            refuse(
                part.at("invoice_prefix"), f"{entry.invoice_prefix} is the prefix of {first} already: choose another"
            )
        return entry

    def _licensee(self, value: object, path: str) -> LicenseeEntry:
        part = Section(value, path)
        entry = LicenseeEntry(part.required("slug", slug_of), self._contact(part))
        part.done()
        self._once("licensee", entry.slug, path)
        return entry

    def _tree(self, value: object, path: str) -> list[ModelEntry]:
        """A base model and everything made from it, bases before derivatives."""
        found: list[ModelEntry] = []
        waiting: list[tuple[object, str, ModelEntry | None]] = [(value, path, None)]
        while waiting:
            declared, where, parent = waiting.pop()
            part = Section(declared, where)
            entry = self._model(part, parent)
            inner = part.optional("derivatives", many(lambda element, at: (element, at)), ())
            part.done()
            found.append(entry)
            waiting += [(element, at, entry) for element, at in reversed(inner)]
        return found

    def _model(self, part: Section, parent: ModelEntry | None) -> ModelEntry:
        slug = part.required("slug", slug_of)
        shown_as = part.required("name", name)
        own_air = part.optional("air", air, None)
        aliases = part.optional("aliases", many(alias), ())
        if parent is None:
            licensor = part.required("licensor", slug_of)
            kind = part.required("kind", one_of("checkpoint"))
            owes = part.optional("owes", one_of("own"), "own")
            bases: frozenset[str] = frozenset()
        else:
            licensor = part.optional("licensor", slug_of, parent.licensor)
            kind = part.required("kind", one_of(*DERIVATIVE_KINDS))
            owes = part.optional("owes", one_of("base", "own", "both"), "base")
            further = part.optional("bases", many(slug_of), ())
            if slug in further:
                refuse(part.at("bases"), f"{slug} cannot be made from itself")
            bases = frozenset({parent.slug, *further})
        self._once("model", slug, part.path)
        names = [(slug, part.at("slug")), *((other, part.at("aliases")) for other in aliases)]
        for other, where in [*names, *([(own_air, part.at("air"))] if own_air else [])]:
            first = self.names.setdefault(other, slug)
            if first != slug:
                refuse(where, f"{other} names model {first} already: a name means one model, choose another")
        known_as = frozenset({*aliases, *([own_air] if own_air else [])} - {slug})
        return ModelEntry(slug, shown_as, licensor, kind, owes_of(owes), bases, known_as)

    def _unit(self, value: object, path: str) -> UnitEntry:
        part = Section(value, path)
        entry = UnitEntry(
            part.required("code", unit_code), part.required("name", name), part.required("decimals", _decimals)
        )
        part.done()
        if is_currency(entry.code):
            refuse(part.at("code"), f"{entry.code} reads as a currency, which needs no unit: use two or four letters")
        self._once("unit", entry.code, path)
        return entry

    def _account(self, value: object, path: str) -> AccountEntry:
        part = Section(value, path)
        licensor, licensee = part.required("licensor", slug_of), part.required("licensee", slug_of)
        zone = part.optional("zone", _zone, None)
        entry = AccountEntry(
            licensor,
            licensee,
            part.required("currency", currency_code),
            zone or "UTC",
            billing=part.optional("billing", billing_in, None),
            second_person_above_minor=part.optional("second_person_above_minor", limit_in, None),
        )
        part.done()
        self._once("account", (licensor, licensee), path)
        if zone is None:
            self.zoneless.add((licensor, licensee))
        return entry

    def _agreement(self, value: object, path: str) -> AgreementEntry:
        part = Section(value, path)
        slug = part.required("slug", slug_of)
        shown_as = part.optional("name", name, None)
        licensor, licensee = part.required("account", _pair)
        starts_on, ends_on = part.required("starts_on", day), part.required("ends_on", day)
        draft = part.optional("draft", flag, False)
        first = part.required("terms", _terms)
        amendments = part.optional("amendments", many(_amendment), ())
        ends_early = part.optional("ends_early", _ends_early, None)
        part.done()
        if starts_on >= ends_on:
            refuse(part.at("ends_on"), f"write a day after {starts_on}: it is the first day no longer agreed")
        if ends_early and draft:
            refuse(part.at("ends_early"), "a draft covers nothing that could end early: leave this out")
        if ends_early and not starts_on < ends_early.on < ends_on:
            refuse(part.at("ends_early.on"), f"write a day between {starts_on} and {ends_on}, not {ends_early.on}")
        self._once("agreement", slug, path)
        versions, term = ((starts_on, first), *amendments), Period(starts_on, ends_on)
        return AgreementEntry(slug, shown_as, licensor, licensee, term, versions, draft, ends_early)


def _terms(value: object, path: str) -> Terms:
    try:
        return parse_terms(Section(value, path).left)
    except InvalidInput as error:
        inner = error.detail.get("path", "")
        where = f"{path}.{inner}" if inner and not inner.startswith(path) else path
        refuse(where, error.sentence.removeprefix(f"{inner}: ").removeprefix("terms: ").removeprefix(f"{path}: "))


def _amendment(value: object, path: str) -> tuple[date, Terms]:
    part = Section(value, path)
    found = part.required("effective_on", day), part.required("terms", _terms)
    part.done()
    return found


def _ends_early(value: object, path: str) -> EndsEarly:
    part = Section(value, path)
    found = EndsEarly(
        on=part.required("on", day),
        kind=part.required("kind", one_of("terminated", "revoked")),
        reason=part.required("reason", name),
        by=part.optional("by", one_of("licensor", "licensee", "both"), None),
    )
    part.done()
    if found.kind == "revoked" and found.by not in (None, "licensor"):
        refuse(part.at("by"), "a licence is revoked by the licensor alone: leave this out")
    return found


def _pair(value: object, path: str) -> tuple[str, str]:
    part = Section(value, path)
    found = part.required("licensor", slug_of), part.required("licensee", slug_of)
    part.done()
    return found


def _prefix(value: object, path: str) -> str:
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        refuse(path, f"write up to 12 capital letters and digits, a letter first, such as OWG, not {_shown(value)}")
    return value


def _zone(value: object, path: str) -> str:
    try:
        return zone_of(line(value, path)).key
    except InvalidInput as error:
        if error.code == "unknown_zone":
            refuse(path, error.sentence)
        raise


def _decimals(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_DECIMALS:
        refuse(path, f"write how many decimals the unit has, from 0 to {MAX_DECIMALS}, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
