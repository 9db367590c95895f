"""A licensor, a licensee, their account, and terms in few words."""

from collections.abc import Callable
from copy import deepcopy
from datetime import date
from typing import Any

import pytest
from sqlalchemy import select

from core.agreements.terms import Terms, parse_terms
from core.registry import register
from core.registry.entries import AccountEntry, Contact, LicenseeEntry, LicensorEntry, ModelEntry
from core.registry.tables import Account

Terming = Callable[..., Terms]


@pytest.fixture
def terms_of() -> Terming:
    def made(*models: str, rate: str = "0.01", **more: Any) -> Terms:
        fees = [{"name": model, "models": [model], "schedule": {"kind": "flat", "rate": rate}} for model in models]
        return parse_terms({"currency": "USD", "fees": fees, **more})

    return made


@pytest.fixture
def account(session) -> Account:
    """The account of guild with north in Berlin and USD; models sd-1, sd-2 and a LoRA that owes only its base."""
    register.add_licensors(
        session, [LicensorEntry("guild", Contact("Guild"), "GLD"), LicensorEntry("other", Contact("Other"), "OTH")]
    )
    register.add_licensees(session, [LicenseeEntry("north", Contact("North"))])
    register.add_models(
        session,
        [
            ModelEntry("sd-1", "SD 1", "guild"),
            ModelEntry("sd-2", "SD 2", "guild"),
            ModelEntry("lora", "LoRA", "guild", "lora", "base", frozenset({"sd-1"})),
            ModelEntry("foreign", "Foreign", "other"),
        ],
    )
    register.add_accounts(session, [AccountEntry("guild", "north", "USD", "Europe/Berlin")])
    found = session.scalar(select(Account))
    assert found is not None
    return found


@pytest.fixture
def document() -> dict[str, Any]:
    """A whole small catalogue, as YAML would load it; tests edit their own copy."""
    terms = {
        "currency": "USD",
        "fees": [{"name": "images", "models": ["sd-1"], "schedule": {"kind": "flat", "rate": "5"}}],
    }
    return {
        "about": "A test.",
        "licensors": [
            {
                "slug": "guild",
                "name": "Guild",
                "invoice_prefix": "GLD",
                "address": ["Street 1"],
                "email": "a@guild.example",
            },
            {"slug": "other", "name": "Other", "invoice_prefix": "OTH"},
        ],
        "models": [
            {
                "slug": "sd-1",
                "name": "SD 1",
                "licensor": "guild",
                "kind": "checkpoint",
                "air": "urn:air:sd1:checkpoint:civitai:1@2",
                "derivatives": [
                    {"slug": "tune", "name": "Tune", "kind": "fine-tune", "owes": "both", "licensor": "other"},
                    {"slug": "mix", "name": "Mix", "kind": "merge", "bases": ["sd-2"], "aliases": ["Mix v1"]},
                ],
            },
            {"slug": "sd-2", "name": "SD 2", "licensor": "guild", "kind": "checkpoint"},
        ],
        "licensees": [{"slug": "north", "name": "North"}, {"slug": "south", "name": "South"}],
        "units": [{"code": "BUZZ", "name": "Buzz", "decimals": 0}],
        "accounts": [
            {"licensor": "guild", "licensee": "north", "zone": "Europe/Berlin", "currency": "USD"},
            {"licensor": "guild", "licensee": "south", "currency": "USD"},
        ],
        "agreements": [
            {
                "slug": "deal",
                "name": "The deal",
                "account": {"licensor": "guild", "licensee": "north"},
                "starts_on": date(2026, 1, 1),
                "ends_on": "2027-01-01",
                "terms": terms,
                "amendments": [{"effective_on": date(2026, 6, 1), "terms": terms | {"payment_days": 14}}],
            },
            {
                "slug": "plan-b",
                "account": {"licensor": "guild", "licensee": "south"},
                "starts_on": date(2026, 1, 1),
                "ends_on": date(2027, 1, 1),
                "draft": True,
                "terms": deepcopy(terms),
            },
        ],
    }
