"""What applying a catalogue would do: the comparison of what is declared with what stands."""

from copy import deepcopy
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.catalogue.compare import Changes, compare
from core.catalogue.declare import Declared, parse_catalogue
from core.catalogue.history import differences
from tests.edits import MISSING, edited

TODAY = date(2026, 8, 15)
DEAL = "agreements.0"
SUMMER = {
    "slug": "summer",
    "account": {"licensor": "guild", "licensee": "north"},
    "starts_on": date(2026, 6, 1),
    "ends_on": date(2026, 9, 1),
    "terms": {"currency": "USD", "fees": [{"name": "s", "models": ["sd-1"], "schedule": {"kind": "zero"}}]},
}


def against(document, edits: dict[str, object], today: date = TODAY) -> Changes:
    """What the edited document would change where the unedited one stands."""
    changed = deepcopy(document)
    for path, value in edits.items():
        edited(changed, path, value)
    return compare(parse_catalogue(changed), parse_catalogue(document), today)


def test_on_nothing_everything_is_created_and_on_itself_nothing_changes(document):
    declared = parse_catalogue(document)
    created = compare(declared, Declared(), TODAY)
    assert (len(created.created), created.changed, created.refused, created.unchanged) == (13, (), (), {})
    again = compare(declared, declared, TODAY)
    assert (again.steps, again.refused) == ((), ())
    assert again.unchanged == {"licensor": 2, "licensee": 2, "model": 4, "unit": 1, "account": 2, "agreement": 2}


@pytest.mark.parametrize(
    "left_out", ["licensors", "models", "licensees", "units", "accounts", "agreements", "about", "licensors.0.address"]
)
def test_what_a_file_leaves_out_stays(document, left_out):
    changes = against(document, {left_out: MISSING})
    assert (changes.steps, changes.refused) == ((), ())


@pytest.mark.parametrize(
    "left_out", [f"{DEAL}.amendments", f"{DEAL}.name", "accounts.0.zone", "models.0.air", "models.0.derivatives"]
)
def test_so_does_what_an_entry_leaves_out(document, left_out):
    changes = against(document, {left_out: MISSING})
    assert (changes.steps, changes.refused) == ((), ())


@pytest.mark.parametrize(
    ("edits", "wanted"),
    [
        ({"licensors.0.name": "The Guild"}, ["licensor guild: name Guild -> The Guild"]),
        ({"licensors.0.address": ["A", "B"]}, ["licensor guild: address Street 1 -> A, B"]),
        ({"licensors.0.email": ""}, ["licensor guild: email a@guild.example -> "]),
        ({"licensees.1.tax_id": "DE987654321"}, ["licensee south: tax_id  -> DE987654321"]),
        (
            {"models.0.name": "One", "models.0.aliases": ["SD"]},
            ["model sd-1: name SD 1 -> One", "model sd-1: names  -> SD"],
        ),
        ({"units.0.name": "Buzzes"}, ["unit BUZZ: name Buzz -> Buzzes"]),
        ({f"{DEAL}.name": "Deal"}, ["agreement deal: name The deal -> Deal"]),
        (
            {f"{DEAL}.amendments.1": {"effective_on": "2026-09-01", "terms": SUMMER["terms"]}},
            ["agreement deal: amendment 2  -> from 2026-09-01"],
        ),
        ({"agreements.1.draft": False}, ["agreement plan-b: status draft -> signed"]),
        (
            {"agreements.1.terms.fees.0.schedule.rate": "6", "agreements.1.ends_on": "2026-02-01"},
            [
                "agreement plan-b: term 2026-01-01..2027-01-01 -> 2026-01",
                "agreement plan-b: terms.fees[0].schedule.rate 5 -> 6",
            ],
        ),
        (
            {"agreements.1.amendments": [{"effective_on": "2026-09-01", "terms": SUMMER["terms"]}]},
            ["agreement plan-b: amendment 1  -> from 2026-09-01"],
        ),
    ],
)
def test_what_may_change_is_shown_with_its_old_and_new_value(document, edits, wanted):
    changes = against(document, edits)
    assert changes.refused == ()
    said = [f"{s.kind} {s.key}: {a.what} {a.old} -> {a.new}" for s in changes.changed for a in s.alterations]
    assert said == wanted


@pytest.mark.parametrize(
    ("edits", "path", "sentence"),
    [
        (
            {"licensors.0.invoice_prefix": "NEW"},
            "licensors[0].invoice_prefix",
            "numbered GLD-... for good: put it back",
        ),
        ({"models.1.licensor": "other"}, "models[1].licensor", "sd-2 is registered with licensor guild"),
        (
            {"models.0.derivatives.0.owes": "base"},
            "models[0].derivatives[0].owes",
            "tune is registered with owes both and its images are counted by it: put it back and declare the "
            "model with owes base under another slug",
        ),
        ({"models.0.derivatives.1.bases": []}, "models[0].derivatives[1].bases", "registered with bases sd-1, sd-2"),
        ({"models.0.derivatives.0.kind": "lora"}, "models[0].derivatives[0].kind", "registered with kind fine-tune"),
        (
            {"models.1.licensor": "nobody"},
            "models[1].licensor",
            "no licensor called nobody: declare it under `licensors`",
        ),
        ({"models.0.derivatives.1.bases": ["x"]}, "models[0].derivatives[1].bases", "there is no model called x"),
        ({"units.0.decimals": 2}, "units[0].decimals", "BUZZ has 0 decimals for good"),
        (
            {"accounts.0.zone": "UTC"},
            "accounts[0].zone",
            "keeps its zone Europe/Berlin for good: write Europe/Berlin; UTC takes",
        ),
        ({"accounts.0.currency": "EUR"}, "accounts[0].currency", "keeps its currency USD for good"),
        (
            {"accounts.2": {"licensor": "guild", "licensee": "x", "currency": "USD"}},
            "accounts[2].licensee",
            "no licensee called x",
        ),
        (
            {f"{DEAL}.account.licensee": "nobody"},
            "agreements[0].account.licensee",
            "there is no licensee called nobody",
        ),
        (
            {"agreements.2": SUMMER | {"account": {"licensor": "other", "licensee": "north"}}},
            "agreements[2].account",
            "no such account: declare it under `accounts` as {licensor: other, licensee: north, currency: ...}",
        ),
        (
            {f"{DEAL}.account.licensee": "south"},
            "agreements[0].account",
            "belongs to the account of guild with north for good",
        ),
        ({f"{DEAL}.draft": True}, "agreements[0].draft", "agreement deal is signed already: leave `draft: true` out"),
        ({f"{DEAL}.ends_on": "2026-12-01"}, "agreements[0].ends_on", "ending early is not an edit"),
        (
            {f"{DEAL}.terms.fees.0.models": ["tune"]},
            "agreements[0].terms.fees[0].models[0]",
            "tune belongs to other, not to guild",
        ),
        (
            {f"{DEAL}.terms.fees.0.models": ["sd-2"]},
            "agreements[0].terms",
            "changes fees[0].models from sd-1 to sd-2): put it back as it was signed, and write an amendment that "
            "holds from its day on (`perimage agreements amend deal TERMS.yaml --effective-on 2026-09-01 --preview`",
        ),
        (
            {"agreements.2": SUMMER},
            "agreements[2]",
            "summer would cover sd-1 from 2026-06-01 to 2026-09-01 (exclusive), which agreement deal does already",
        ),
        (
            {"agreements.1.terms.fees.0.schedule": {"kind": "flat", "band": ["1", "2"]}, "agreements.1.draft": False},
            "agreements[1].terms.fees[0].schedule.rate",
            "has a band, not a price yet",
        ),
        (
            {f"{DEAL}.terms.unit": "PEARL", f"{DEAL}.terms.conversions": [{"from": "PEARL", "to": "USD", "rate": "1"}]},
            "agreements[0].terms.unit",
            "there is no unit PEARL: declare it under `units`",
        ),
    ],
)
def test_what_rewrites_history_or_cannot_be_rated_is_refused_with_what_to_write(document, edits, path, sentence):
    refused = against(document, edits).refused
    assert [refusal.path for refusal in refused][:1] == [path]
    assert sentence in refused[0].sentence


def test_an_edit_of_signed_terms_is_answered_with_the_amendment_to_write(document):
    (refusal,) = against(document, {f"{DEAL}.terms.fees.0.schedule.rate": "6"}).refused
    assert refusal.path == "agreements[0].terms"
    assert "(this changes fees[0].schedule.rate from 5 to 6)" in refusal.sentence
    assert refusal.instead is not None
    old, new = refusal.instead["amendments"]
    assert (old["effective_on"], old["terms"]["payment_days"]) == (date(2026, 6, 1), 14), "what stands is kept"
    assert new["effective_on"] == date(2026, 9, 1), "the first of next month"
    followed = against(document, {f"{DEAL}.amendments": refusal.instead["amendments"]})
    assert followed.refused == ()
    assert [a.new for step in followed.steps for a in step.alterations] == ["from 2026-09-01"]


def test_an_edit_of_an_amendment_is_answered_with_one_that_replaces_it(document):
    (refusal,) = against(document, {f"{DEAL}.amendments.0.effective_on": "2026-05-01"}).refused
    assert refusal.path == "agreements[0].amendments[0]"
    assert "amendment 1 of agreement deal is signed and never edited (this changes effective_on from 2026-06-01 to" in (
        refusal.sentence
    )
    assert refusal.instead is not None
    assert against(document, {f"{DEAL}.amendments": refusal.instead["amendments"]}).refused == ()


@pytest.mark.parametrize(("key", "day"), [("ends_on", "2028-01-01"), ("starts_on", "2025-01-01")])
def test_a_longer_term_is_answered_with_an_agreement_beside_it(document, key, day):
    (refusal,) = against(document, {f"{DEAL}.{key}": day}).refused
    assert refusal.path == f"agreements[0].{key}"
    assert refusal.instead is not None
    followed = against(document, {"agreements.2": refusal.instead["agreements"][0]})
    assert (followed.refused, [step.key for step in followed.created]) == (
        (),
        [refusal.instead["agreements"][0]["slug"]],
    )


def test_the_proposed_amendment_lies_in_the_term_even_when_that_is_over(document):
    edit = {f"{DEAL}.terms.fees.0.schedule.rate": "6"}
    (refusal,) = against(document, edit, today=date(2030, 1, 1)).refused
    assert refusal.instead is not None
    assert refusal.instead["amendments"][-1]["effective_on"] == date(2026, 6, 1), "not before what was agreed since"


def test_a_circle_of_models_is_refused_before_anything_is_written(document):
    loop = {"slug": "loop", "name": "L", "kind": "merge", "bases": ["mix"]}
    more = deepcopy(document)
    more["models"][0]["derivatives"][1]["bases"] = ["sd-2", "loop"]
    more["models"][1]["derivatives"] = [loop]
    (refusal,) = compare(parse_catalogue(more), Declared(), TODAY).refused
    assert "a model cannot be its own ancestor" in refusal.sentence


def test_a_name_or_prefix_that_stands_for_another_is_not_taken_over(document):
    newcomer = {"slug": "new", "name": "N", "licensor": "guild", "kind": "checkpoint", "aliases": ["Mix v1"]}
    only = {"licensors": [{"slug": "third", "name": "T", "invoice_prefix": "GLD"}], "models": [newcomer]}
    refused = compare(parse_catalogue(only), parse_catalogue(document), TODAY).refused
    assert [refusal.sentence for refusal in refused] == [
        "GLD numbers the invoices of guild: choose another",
        "Mix v1 names model mix already, and a name never moves: choose another",
    ]


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(documents)
def test_a_document_does_not_differ_from_itself(some):
    assert list(differences(some, some)) == []
