"""A small catalogue that declares a little of everything."""

from copy import deepcopy
from datetime import date
from typing import Any

import pytest


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
