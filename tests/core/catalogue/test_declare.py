"""Reading a catalogue strictly: every refusal names the path and says what to write instead."""

from datetime import date, datetime

import pytest

from core.catalogue.declare import parse_catalogue
from core.errors import InvalidInput
from core.period import Period
from tests.edits import MISSING, edited


def test_a_catalogue_is_read_as_entries(document):
    declared = parse_catalogue(document)
    assert list(declared.models) == ["sd-1", "tune", "mix", "sd-2"], "bases before derivatives"
    tune, mix = declared.models["tune"], declared.models["mix"]
    assert (tune.licensor, tune.owes, tune.bases) == ("other", "both", {"sd-1"})
    assert (mix.licensor, mix.owes, mix.bases, mix.names) == ("guild", "base", {"sd-1", "sd-2"}, {"Mix v1"})
    assert declared.models["sd-1"].names == {"urn:air:sd1:checkpoint:civitai:1@2"}
    deal, other = declared.agreements["deal"], declared.agreements["plan-b"]
    assert deal.term == Period(date(2026, 1, 1), date(2027, 1, 1))
    assert [(day, terms.payment_days) for day, terms in deal.versions] == [
        (date(2026, 1, 1), 30),
        (date(2026, 6, 1), 14),
    ]
    assert (deal.draft, other.draft, other.name) == (False, True, None)
    assert declared.accounts["guild", "south"].zone == "UTC"
    assert declared.paths["model", "mix"] == "models[0].derivatives[1]"


@pytest.mark.parametrize(
    ("path", "value", "place", "sentence"),
    [
        ("licensor", [], "licensor", "not known here; known are about, accounts"),
        ("licensors.0.slug", "Guild", "licensors[0].slug", "lower-case letters, digits and hyphens, such as anima-1"),
        ("licensors.0.slug", "a" * 101, "licensors[0].slug", "1 to 100 lower-case letters"),
        ("licensors.0.slug", "-a", "licensors[0].slug", "a letter or digit at both ends"),
        ("licensors.0.slug", "guíld", "licensors[0].slug", "lower-case"),
        ("licensors.0.slug", "guild\n", "licensors[0].slug", "lower-case"),
        ("licensors.0.name", MISSING, "licensors[0].name", "this is missing and has no default"),
        ("licensors.0.name", "  ", "licensors[0].name", "this is empty: write a name"),
        ("licensors.0.name", False, "licensors[0].name", "in quotes if it looks like a number or a date, not False"),
        ("licensors.0.name", "a\x00b", "licensors[0].name", "without control characters"),
        ("licensors.0.name", "\ud800", "licensors[0].name", "without control characters"),
        ("licensors.0.name", "evil\u202egnp", "licensors[0].name", "without control characters"),
        ("licensors.0.tax_id", 123, "licensors[0].tax_id", "in quotes"),
        ("licensors.0.email", "nobody", "licensors[0].email", "such as billing@example.com, not 'nobody'"),
        ("licensors.0.address", "Street 1", "licensors[0].address", "write a list here, not 'Street 1'"),
        ("licensors.0.invoice_prefix", "gld", "licensors[0].invoice_prefix", "capital letters and digits"),
        ("licensors.1.invoice_prefix", "GLD", "licensors[1].invoice_prefix", "GLD is the prefix of guild already"),
        ("licensors.1.slug", "guild", "licensors[1]", "licensor guild is declared at licensors[0] already: keep one"),
        (
            "licensees.0.phone",
            "1",
            "licensees[0].phone",
            "not known here; known are address, email, name, slug, tax_id",
        ),
        ("models.0.kind", "lora", "models[0].kind", "write one of checkpoint, not 'lora'"),
        (
            "agreements.0.ends_early",
            {"on": "2026-06-01", "kind": "cancelled", "reason": "x"},
            "agreements[0].ends_early.kind",
            "write one of terminated, revoked, not 'cancelled'",
        ),
        (
            "agreements.0.ends_early",
            {"on": "2026-06-01", "kind": "terminated"},
            "agreements[0].ends_early.reason",
            "this is missing",
        ),
        (
            "agreements.0.ends_early",
            {"on": "2027-01-01", "kind": "terminated", "reason": "x"},
            "agreements[0].ends_early.on",
            "write a day between 2026-01-01 and 2027-01-01, not 2027-01-01",
        ),
        (
            "agreements.0.ends_early",
            {"on": "2026-06-01", "kind": "revoked", "reason": "x", "by": "both"},
            "agreements[0].ends_early.by",
            "a licence is revoked by the licensor alone",
        ),
        (
            "agreements.1.ends_early",
            {"on": "2026-06-01", "kind": "revoked", "reason": "x"},
            "agreements[1].ends_early",
            "a draft covers nothing that could end early",
        ),
        ("models.0.owes", "base", "models[0].owes", "write one of own, not 'base'"),
        ("models.0.bases", ["sd-2"], "models[0].bases", "not known here"),
        ("models.0.air", "civitai:1", "models[0].air", "write an AIR such as urn:air:flux1:checkpoint:civitai"),
        ("models.0.aliases", ["SD "], "models[0].aliases[0]", "leave out the spaces around 'SD '"),
        ("models.1.aliases", ["sd-1"], "models[1].aliases", "sd-1 names model sd-1 already"),
        ("models.1.air", "urn:air:sd1:checkpoint:civitai:1@2", "models[1].air", "names model sd-1 already"),
        ("models.1.slug", "mix", "models[1]", "model mix is declared at models[0].derivatives[1] already"),
        ("models.0.derivatives.0.kind", "checkpoint", "models[0].derivatives[0].kind", "lora, fine-tune, merge"),
        ("models.0.derivatives.0.owes", "all", "models[0].derivatives[0].owes", "base, own, both"),
        ("models.0.derivatives.1.bases", ["mix"], "models[0].derivatives[1].bases", "mix cannot be made from itself"),
        ("units.0.code", "USD", "units[0].code", "USD reads as a currency"),
        ("units.0.code", "buzz", "units[0].code", "capital letters"),
        ("units.0.decimals", True, "units[0].decimals", "from 0 to 12, not True"),
        ("units.0.decimals", 13, "units[0].decimals", "from 0 to 12, not 13"),
        ("accounts.0.zone", "Mars/Olympus", "accounts[0].zone", "'Mars/Olympus' is not a time zone"),
        ("accounts.0.zone", "../../etc/passwd", "accounts[0].zone", "is not a time zone"),
        ("accounts.0.currency", "dollars", "accounts[0].currency", "write a unit in capital letters such as USD"),
        ("accounts.0.currency", MISSING, "accounts[0].currency", "this is missing"),
        ("accounts.1.licensee", "north", "accounts[1]", "account guild with north is declared at accounts[0] already"),
        ("agreements.0.account.licensee", "No", "agreements[0].account.licensee", "lower-case"),
        (
            "agreements.0.account.zone",
            "UTC",
            "agreements[0].account.zone",
            "not known here; known are licensee, licensor",
        ),
        (
            "agreements.0.starts_on",
            "2026-02-30",
            "agreements[0].starts_on",
            "'2026-02-30' is not a day of the calendar",
        ),
        ("agreements.0.starts_on", datetime(2026, 1, 1, 12), "agreements[0].starts_on", "write a day as YYYY-MM-DD"),
        ("agreements.0.ends_on", "2026-01-01", "agreements[0].ends_on", "write a day after 2026-01-01"),
        ("agreements.0.draft", "yes", "agreements[0].draft", "write true or false, not 'yes'"),
        ("agreements.0.terms", [], "agreements[0].terms", "write a mapping"),
        ("agreements.0.terms", {}, "agreements[0].terms.currency", "this is missing"),
        ("agreements.1.terms.fees.0.schedule.rate", 0.01, "agreements[1].terms.fees[0].schedule.rate", "in quotes"),
        ("agreements.1.terms.vat", "19", "agreements[1].terms.vat", "not known here"),
        ("agreements.0.amendments.0.terms", {"currency": "USD"}, "agreements[0].amendments[0].terms.fees", "missing"),
        ("agreements.0.amendments.0.number", 1, "agreements[0].amendments[0].number", "not known here"),
        ("agreements.1.slug", "deal", "agreements[1]", "agreement deal is declared at agreements[0] already"),
        ("accounts", None, "accounts", "this is empty: give a value or leave the key out"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_path(document, path, value, place, sentence):
    with pytest.raises(InvalidInput) as refused:
        parse_catalogue(edited(document, path, value))
    assert refused.value.code == "invalid_catalogue"
    assert refused.value.detail["path"] == place
    assert refused.value.sentence.startswith(f"{place}: ")
    assert sentence in refused.value.sentence


@pytest.mark.parametrize("nothing", [None, [], "text", 1, {}, {"about": "nothing else"}, {1: 2}])
def test_a_file_that_declares_nothing_is_refused(nothing):
    with pytest.raises(InvalidInput, match=r"^the file: (write a mapping|this declares nothing)"):
        parse_catalogue(nothing)


def test_a_family_may_be_a_thousand_generations_deep():
    innermost: dict[str, object] = {"slug": "base", "name": "Base", "licensor": "guild", "kind": "checkpoint"}
    inner = innermost
    for n in range(1_000):
        derived: dict[str, object] = {"slug": f"tune-{n}", "name": "Tune", "kind": "fine-tune"}
        inner["derivatives"] = [derived]
        inner = derived
    declared = parse_catalogue({"models": [innermost]})
    assert declared.models["tune-999"].bases == {"tune-998"}
