"""What a Stripe account holds: objects by id, its own clock, and the events that tell of changes."""

import copy
import itertools
import time
from datetime import timedelta
from typing import Any

from tests.fakes.stripe_server.refusals import Invalid, Refused, missing

SEARCH_LAG = 60  # seconds of the account's clock until a new object can be found by searching


class Account:
    """The objects of one account. Whoever changes them holds the server's lock."""

    def __init__(self) -> None:
        self._ahead = 0
        self._numbers = itertools.count(1)
        self.customers: dict[str, dict[str, Any]] = {}
        self.invoices: dict[str, dict[str, Any]] = {}
        self.items: dict[str, dict[str, Any]] = {}
        self.invoice_payments: dict[str, dict[str, Any]] = {}
        self.credit_notes: dict[str, dict[str, Any]] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.cards: dict[str, str] = {}  # by customer: "ok" or "declined"
        self.sent: list[str] = []  # invoices that were mailed, each time

    def now(self) -> int:
        """Seconds since 1970 by the account's clock."""
        return int(time.time()) + self._ahead

    def advance(self, by: timedelta) -> None:
        """Lets time pass. Drafts that may advance by themselves are finalised after an hour, as Stripe would."""
        from tests.fakes.stripe_server.invoices import finalise

        self._ahead += int(by.total_seconds())
        for invoice in list(self.invoices.values()):
            if invoice["status"] == "draft" and invoice["auto_advance"] and self.now() - invoice["created"] > 3600:
                finalise(self, invoice["id"], {})

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers):08d}Fake"

    def tell(self, kind: str, subject: dict[str, Any]) -> None:
        """Keeps an event with the object as it is now."""
        id_ = self.new_id("evt")
        self.events[id_] = {
            "id": id_,
            "object": "event",
            "api_version": None,
            "created": self.now(),
            "data": {"object": copy.deepcopy(subject)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }

    def get(self, kind: str, id_: str) -> dict[str, Any]:
        """The object, or the refusal that there is none."""
        shelf = {"customer": self.customers, "invoice": self.invoices, "invoiceitem": self.items,
                 "credit_note": self.credit_notes, "event": self.events,
                 "invoice_payment": self.invoice_payments}[kind]  # fmt: skip
        if id_ not in shelf:
            raise missing(kind, id_)
        return shelf[id_]

    def live_invoices(self, **metadata: str) -> list[dict[str, Any]]:
        """For tests: the invoices with this metadata that are not void."""
        return [
            invoice
            for invoice in self.invoices.values()
            if invoice["status"] != "void" and metadata.items() <= invoice["metadata"].items()
        ]


def listed(found: list[dict[str, Any]], asked: dict[str, Any], url: str) -> dict[str, Any]:
    """One page of a list: newest first, `limit` and a cursor."""
    limit = asked.get("limit", 10)
    if not 1 <= limit <= 100:
        raise Invalid("Limit must be between 1 and 100", param="limit")
    if isinstance(created := asked.get("created"), int):
        found = [each for each in found if each["created"] == created]
    elif created:
        tests = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}
        found = [each for each in found if all(tests[how](each["created"], at) for how, at in created.items())]
    found = sorted(found, key=lambda each: each["id"].split("_")[-1], reverse=True)
    ids = [each["id"] for each in found]
    if after := asked.get("starting_after"):
        if after not in ids:
            raise missing("object", after)
        found = found[ids.index(after) + 1 :]
    if before := asked.get("ending_before"):
        if before not in ids:
            raise missing("object", before)
        found = found[max(0, ids.index(before) - limit) : ids.index(before)]
    return {"object": "list", "data": found[:limit], "has_more": len(found) > limit, "url": url}


def searched(account: Account, found: list[dict[str, Any]], asked: dict[str, Any], url: str) -> dict[str, Any]:
    """A search by `metadata['key']:'value'` and `status:'open'`, joined by AND. What is new is not found yet."""
    import re

    wanted = []
    for clause in asked["query"].split(" AND "):
        said = re.fullmatch(r"""metadata\[['"]([^'"]+)['"]\]:['"]([^'"]*)['"]|status:['"](\w+)['"]""", clause.strip())
        if said is None:
            raise Refused(f"We were unable to parse your search query: {asked['query']}", param="query")
        wanted.append(said.groups())

    def fits(each: dict[str, Any]) -> bool:
        return all(
            each.get("status") == status if status else each["metadata"].get(key) == value
            for key, value, status in wanted
        )

    known = [each for each in found if each["created"] <= account.now() - SEARCH_LAG and fits(each)]
    page = listed(known, {"limit": asked.get("limit", 10)}, url)
    return {**page, "object": "search_result", "next_page": None}


def create_customer(account: Account, asked: dict[str, Any]) -> dict[str, Any]:
    id_ = account.new_id("cus")
    account.customers[id_] = {
        "id": id_,
        "object": "customer",
        "created": account.now(),
        "email": asked.get("email"),
        "name": asked.get("name"),
        "address": asked.get("address") or None,
        "balance": asked.get("balance", 0),
        "currency": None,
        "description": asked.get("description"),
        "invoice_settings": {"default_payment_method": None},
        "livemode": False,
        "metadata": asked.get("metadata") or {},
        "preferred_locales": asked.get("preferred_locales", []),
        "tax_exempt": asked.get("tax_exempt") or "none",
    }
    account.tell("customer.created", account.customers[id_])
    return account.customers[id_]
