"""A licensor, a licensee, their account, and terms in few words."""

from collections.abc import Callable
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
