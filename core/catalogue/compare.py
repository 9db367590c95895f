"""What applying a catalogue would do: what is created, what changes, and what is refused because it is history.

A comparison of two values, so that a dry run and the real thing cannot differ.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

from core.agreements.coverage import covered_days
from core.agreements.signable import Licensable, Parties, objections, overlap_sentence
from core.agreements.terms import terms_document
from core.catalogue.declare import AgreementEntry, Declared, UnitEntry
from core.catalogue.history import Instead, differences, refused_edits
from core.errors import PerimageError
from core.money import plain
from core.period import Period
from core.registry.billing import Billing
from core.registry.brand import Brand
from core.registry.entries import AccountEntry, Contact, LicenseeEntry, LicensorEntry, ModelEntry
from core.registry.lineage import Lineage, Node

Entry = LicensorEntry | LicenseeEntry | ModelEntry | UnitEntry | AccountEntry | AgreementEntry
KINDS = ("licensor", "licensee", "model", "unit", "account", "agreement")


@dataclass(frozen=True, slots=True)
class Alteration:
    """One thing that changes."""

    what: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Step:
    """One entry to create (`before` is None) or to change."""

    kind: str
    key: str
    after: Any
    before: Any = None
    alterations: tuple[Alteration, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something the file asks for that must not happen; `instead` is what to write, where that is a document."""

    path: str
    sentence: str
    instead: Instead | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """The whole of what applying a catalogue would do. With anything refused, nothing at all is done."""

    steps: tuple[Step, ...]
    refused: tuple[Refusal, ...]
    unchanged: dict[str, int]

    @property
    def created(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.before is None)

    @property
    def changed(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.before is not None)

    def of(self, kind: str) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.kind == kind)


def compare(declared: Declared, standing: Declared, today: date) -> Changes:
    """What must happen for `standing` to become what is declared. `today` only dates the amendments it proposes."""
    return _Comparison(declared, standing, today).changes()


class _Comparison:
    def __init__(self, declared: Declared, standing: Declared, today: date) -> None:
        self.declared = declared
        self.standing = standing
        self.today = today
        self.steps: list[Step] = []
        self.refused: list[Refusal] = []
        self.unchanged: Counter[str] = Counter()
        self.licensors = standing.licensors | declared.licensors
        self.licensees = standing.licensees | declared.licensees
        self.models = standing.models | declared.models
        self.units = standing.units | declared.units
        self.accounts = declared.accounts | standing.accounts

    def changes(self) -> Changes:
        self._parties()
        self._models()
        self._units()
        self._accounts()
        self._agreements()
        return Changes(tuple(self.steps), tuple(self.refused), dict(self.unchanged))

    def _path(self, kind: str, key: object, inner: str = "") -> str:
        place = self.declared.paths.get((kind, key), kind)
        return f"{place}.{inner}" if inner else place

    def _refuse(self, kind: str, key: object, inner: str, sentence: str, instead: Instead | None = None) -> None:
        self.refused.append(Refusal(self._path(kind, key, inner), sentence, instead))

    def _settle(self, kind: str, key: str, before: Entry | None, after: Entry, altered: Iterable[Alteration]) -> None:
        alterations = tuple(altered)
        if before is None or alterations:
            self.steps.append(Step(kind, key, after, before, alterations))
        else:
            self.unchanged[kind] += 1

    def _parties(self) -> None:
        prefixes = {entry.invoice_prefix: slug for slug, entry in self.standing.licensors.items()}
        for slug, licensor in self.declared.licensors.items():
            before = self.standing.licensors.get(slug)
            holder = prefixes.get(licensor.invoice_prefix, slug)
            if before and before.invoice_prefix != licensor.invoice_prefix:
                self._refuse(
                    "licensor",
                    slug,
                    "invoice_prefix",
                    f"the invoices of {slug} are numbered {before.invoice_prefix}-... for good: put it back",
                )
            elif holder != slug:
                self._refuse(
                    "licensor",
                    slug,
                    "invoice_prefix",
                    f"{licensor.invoice_prefix} numbers the invoices of {holder}: choose another",
                )
            altered = (
                *_contact_changes(before, licensor),
                *_limit_changes(before, licensor),
                *_brand_changes(before, licensor),
            )
            self._settle("licensor", slug, before, licensor, altered)
        for slug, licensee in self.declared.licensees.items():
            known = self.standing.licensees.get(slug)
            self._settle("licensee", slug, known, licensee, _contact_changes(known, licensee))

    def _models(self) -> None:
        named = {name: slug for slug, model in self.standing.models.items() for name in (slug, *model.names)}
        refused_before = len(self.refused)
        for slug, model in self.declared.models.items():
            before = self.standing.models.get(slug)
            if model.licensor not in self.licensors:
                self._dangling("model", slug, "licensor", "licensor", model.licensor)
            for base in sorted(model.bases - self.models.keys()):
                self._dangling("model", slug, "bases", "model", base)
            for name in sorted(model.names | {slug}):
                if named.get(name, slug) != slug:
                    self._refuse(
                        "model",
                        slug,
                        "",
                        f"{name} names model {named[name]} already, and a name never moves: choose another",
                    )
            if before:
                for what, sentence in _model_history(before, model):
                    self._refuse("model", slug, what, sentence)
            self._settle("model", slug, before, model, _model_changes(before, model))
        if len(self.refused) == refused_before:
            self._check_lineage()

    def _check_lineage(self) -> None:
        numbers = {slug: n for n, slug in enumerate(self.models)}
        try:
            Lineage(
                [
                    Node(numbers[slug], slug, 0, model.owes, tuple(sorted(numbers[base] for base in model.bases)))
                    for slug, model in self.models.items()
                ],
                {},
            )
        except PerimageError as error:
            self.refused.append(Refusal("models", error.sentence))

    def _units(self) -> None:
        for code, unit in self.declared.units.items():
            before = self.standing.units.get(code)
            if before and before.decimals != unit.decimals:
                self._refuse(
                    "unit",
                    code,
                    "decimals",
                    f"{code} has {before.decimals} decimals for good, since fees were agreed in it: "
                    f"write {before.decimals}, or declare another unit",
                )
            self._settle("unit", code, before, unit, _altered([("name", before.name, unit.name)] if before else []))

    def _accounts(self) -> None:
        for key, account in self.declared.accounts.items():
            before = self.standing.accounts.get(key)
            shown = f"{account.licensor} with {account.licensee}"
            for side, slugs in (("licensor", self.licensors), ("licensee", self.licensees)):
                if getattr(account, side) not in slugs:
                    self._dangling("account", key, side, side, getattr(account, side))
            if before:
                fixed = [("zone", before.zone, account.zone), ("currency", before.currency, account.currency)]
                for what, old, new in fixed:
                    if old != new and not (what == "zone" and key in self.declared.zoneless):
                        self._refuse(
                            "account",
                            key,
                            what,
                            f"the account of {shown} keeps its {what} {old} for good: write {old}; {new} takes a new "
                            f"account, with the licensee under a second slug such as {account.licensee}-2",
                        )
            altered = (*_billing_changes(before, account), *_limit_changes(before, account))
            self._settle("account", shown, before, account, altered)

    def _dangling(self, kind: str, key: object, inner: str, missing_kind: str, missing: str) -> None:
        self._refuse(
            kind, key, inner, f"there is no {missing_kind} called {missing}: declare it under `{missing_kind}s`"
        )

    def _agreements(self) -> None:
        signed = {slug: entry for slug, entry in self.standing.agreements.items() if not entry.draft}
        for slug, declared in self.declared.agreements.items():
            before = self.standing.agreements.get(slug)
            agreement = _as_extended(declared, before)
            found = [*self._unsignable(agreement, before), *refused_edits(agreement, before, self.today)]
            for inner, sentence, instead in found:
                self._refuse("agreement", slug, inner, sentence, instead)
            self._settle("agreement", slug, before, agreement, _agreement_changes(before, agreement))
            if not found and not agreement.draft:
                signed[slug] = _grown(agreement, before)
        self._overlaps(signed)

    def _unsignable(
        self, agreement: AgreementEntry, before: AgreementEntry | None
    ) -> Iterator[tuple[str, str, Instead | None]]:
        account = self.accounts.get((agreement.licensor, agreement.licensee))
        if account is None:
            for side, slugs in (("licensor", self.licensors), ("licensee", self.licensees)):
                slug = getattr(agreement, side)
                if slug not in slugs:
                    yield f"account.{side}", f"there is no {side} called {slug}: declare it under `{side}s`", None
                    return
            pair = f"{{licensor: {agreement.licensor}, licensee: {agreement.licensee}, currency: ...}}"
            yield "account", f"there is no such account: declare it under `accounts` as {pair}", None
            return
        models = {slug: Licensable(model.licensor, model.owes) for slug, model in self.models.items()}
        parties = Parties(agreement.licensor, agreement.licensee, account.currency, self.units.keys())
        amends = before and len(agreement.versions) > len(before.versions)
        ended_on = before.ends_early.on if before and before.ends_early and amends else None
        signing = not agreement.draft
        for objection in objections(
            agreement.term, agreement.versions, parties, models, signing=signing, ended_on=ended_on
        ):
            yield objection.path, objection.sentence, None

    def _overlaps(self, signed: Mapping[str, AgreementEntry]) -> None:
        """Refuses what the exclusion constraint would refuse, each pair of agreements once."""
        held: dict[tuple[str, str, str], list[tuple[Period, str]]] = defaultdict(list)
        for slug, agreement in signed.items():
            for model, covered in covered_days(agreement.in_force, agreement.versions).items():
                held[agreement.licensor, agreement.licensee, model] += ((days, slug) for days in covered)
        told: set[tuple[str, str]] = set()
        for (_, _, model), runs in held.items():
            runs.sort(key=lambda run: run[0])
            for (days, slug), (next_days, next_slug) in pairwise(runs):
                both = days.overlap(next_days)
                late, early = (next_slug, slug) if next_slug in self.declared.agreements else (slug, next_slug)
                if both and (early, late) not in told:
                    told.add((early, late))
                    self._refuse("agreement", late, "", overlap_sentence(late, early, model, both))


def _as_extended(agreement: AgreementEntry, before: AgreementEntry | None) -> AgreementEntry:
    """What is declared, with the term as it stands where the file names an end that was extended since."""
    if before and agreement.term.start == before.term.start and agreement.term.end in before.former_ends:
        return replace(agreement, term=before.term)
    return agreement


def _grown(agreement: AgreementEntry, before: AgreementEntry | None) -> AgreementEntry:
    """The agreement as it will stand: a file may leave out amendments that were signed and an end that was recorded."""
    if before is None:
        return agreement
    versions = max(agreement.versions, before.versions, key=len)
    return replace(agreement, versions=versions, ends_early=agreement.ends_early or before.ends_early)


def _altered(triples: Iterable[tuple[str, object, object]]) -> Iterator[Alteration]:
    for what, old, new in triples:
        if old != new:
            yield Alteration(what, _shown(old), _shown(new))


def _shown(value: object) -> str:
    return ", ".join(str(part) for part in value) if isinstance(value, tuple | list) else str(value)


def _contact_changes(
    before: LicensorEntry | LicenseeEntry | None, after: LicensorEntry | LicenseeEntry
) -> Iterator[Alteration]:
    if before:
        old: Contact = before.contact
        stood = old.said()
        yield from _altered((what, stood.get(what, ""), new) for what, new in after.contact.said().items())


def _limit_changes(
    before: LicensorEntry | AccountEntry | None, after: LicensorEntry | AccountEntry
) -> Iterator[Alteration]:
    if before and after.second_person_above_minor is not None:
        old = before.second_person_above_minor
        new = after.second_person_above_minor
        yield from _altered([("second_person_above_minor", "" if old is None else str(old), str(new))])


def _brand_changes(before: LicensorEntry | None, after: LicensorEntry) -> Iterator[Alteration]:
    if before and after.brand is not None:
        old, new = before.brand or Brand(), after.brand
        yield from _altered(
            [
                ("brand.logo", old.logo or "", new.logo or ""),
                ("brand.colour", old.colour, new.colour),
                ("brand.accent", old.accent, new.accent),
            ]
        )


def _billing_changes(before: AccountEntry | None, after: AccountEntry) -> Iterator[Alteration]:
    if before and after.billing:
        old, new = (before.billing or Billing()).columns(), after.billing.columns()
        yield from _altered((what, _billing_shown(old[what]), _billing_shown(new[what])) for what in new)


def _billing_shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(f"{one['name']} <{one['email']}>" for one in value)
    if isinstance(value, dict):
        return ", ".join(value.values())
    return plain(value) if isinstance(value, Decimal) else str(value)


def _model_changes(before: ModelEntry | None, after: ModelEntry) -> Iterator[Alteration]:
    if before:
        yield from _altered([("name", before.name, after.name)])
        for name in sorted(after.names - before.names):
            yield Alteration("names", "", name)


def _model_history(before: ModelEntry, after: ModelEntry) -> Iterator[tuple[str, str]]:
    """What of a model is history: the images counted so far followed it."""
    old_bases, new_bases = (", ".join(sorted(model.bases)) or "none" for model in (before, after))
    for what, old, new in (
        ("licensor", before.licensor, after.licensor),
        ("kind", before.kind, after.kind),
        ("owes", before.owes, after.owes),
        ("bases", old_bases, new_bases),
    ):
        if old != new:
            yield (
                what,
                f"{before.slug} is registered with {what} {old} and its images are counted by it: put it back and "
                f"declare the model with {what} {new} under another slug, to be reported by that name from now on",
            )


def _agreement_changes(before: AgreementEntry | None, after: AgreementEntry) -> Iterator[Alteration]:
    if before is None:
        return
    yield from _altered([("name", before.name, after.name or before.name)])
    if before.draft:
        yield from _altered([("term", before.term.name, after.term.name)])
        for n in range(max(len(before.versions), len(after.versions))):
            yield from _altered(_draft_changes(before, after, n))
    elif len(after.versions) > len(before.versions):
        for n in range(len(before.versions), len(after.versions)):
            yield Alteration(f"amendment {n}", "", f"from {after.versions[n][0]}")
    if before.draft and not after.draft:
        yield Alteration("status", "draft", "signed")
    if after.ends_early and (before.ends_early is None or before.ends_early.kind != after.ends_early.kind):
        yield Alteration("ends early", str(before.ends_early or ""), str(after.ends_early))


def _draft_changes(before: AgreementEntry, after: AgreementEntry, n: int) -> Iterator[tuple[str, object, object]]:
    """How version `n` of a draft changes. A draft is replaced as a whole, so an amendment left out is taken out."""
    old, new = (entry.versions[n] if n < len(entry.versions) else None for entry in (before, after))
    what = f"amendment {n}" if n else "terms"
    if old is None or new is None:
        yield what, f"from {old[0]}" if old else "", f"from {new[0]}" if new else ""
        return
    if n:
        yield f"{what} effective_on", old[0], new[0]
    for place, stood, said in differences(terms_document(old[1]), terms_document(new[1])):
        yield f"{what}.{place}", stood, said
