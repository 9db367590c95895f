"""A small trade for tests: parties, models and signed agreements, in as few words as a test can bear.

trade = Trade(session)
trade.agreement("flat", fees=[flat("sd-1", "0.01")])
trade.use("sd-1", 100, "2026-10-03T12:00Z")
"""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import count
from typing import Any

import psycopg
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from core.agreements.tables import Agreement, AgreementEvent, AgreementModel, Amendment
from core.agreements.terms import parse_terms, terms_document
from core.period import Period
from core.registry.tables import Account, Licensee, Licensor, Model, ModelBase, ModelName
from core.usage.tables import UsageEvent

_numbers = count(1)


EMPTY = """
DO $$ DECLARE used regclass; BEGIN
    FOR used IN
        SELECT oid FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
            AND pg_relation_size(oid) > 0
    LOOP EXECUTE 'DELETE FROM ' || used; END LOOP;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""


def forget_everything(owner_url: str) -> None:
    """Empties a test's database between the examples of a property, which only its owner can do.

    Rows are deleted where there are any: truncating every table takes four times as long.
    """
    with psycopg.connect(owner_url) as connection:
        connection.execute("SET session_replication_role = replica")  # no trigger keeps a row, no key asks for another
        connection.execute(EMPTY)
        connection.execute("INSERT INTO rollup_watermarks (name, xid) VALUES ('usage', '0')")


def flat(model: str, rate: str, **more: Any) -> dict[str, Any]:
    """A fee of `rate` per image; "0" is a model that owes nothing."""
    schedule = {"kind": "zero"} if rate == "0" else {"kind": "flat", "rate": rate}
    return {"name": f"{model} images", "models": [model], "schedule": schedule, **more}


class Trade:
    """One licensor, licensees as needed, and the rows between them, written past the verbs that tests are about."""

    def __init__(self, session: Session, *, zone: str = "UTC", currency: str = "USD") -> None:
        self.session, self.zone, self.currency = session, zone, currency
        self.licensor = Licensor(slug="guild", name="Guild", invoice_prefix="GLD")
        session.add(self.licensor)
        session.flush()
        self.licensees: dict[str, Licensee] = {}
        self.accounts: dict[str, Account] = {}
        self.models: dict[str, Model] = {}
        self.account("north")

    @classmethod
    def of(cls, session: Session, licensor: str) -> "Trade":
        """The trade that another session has opened, to go on with."""
        trade = cls.__new__(cls)
        trade.session, trade.zone, trade.currency = session, "UTC", "USD"
        trade.licensor = session.scalars(select(Licensor).where(Licensor.slug == licensor)).one()
        trade.licensees = {row.slug: row for row in session.scalars(select(Licensee))}
        slugs = {row.id: slug for slug, row in trade.licensees.items()}
        accounts = select(Account).where(Account.licensor_id == trade.licensor.id)
        trade.accounts = {slugs[row.licensee_id]: row for row in session.scalars(accounts)}
        trade.models = {row.slug: row for row in session.scalars(select(Model))}
        return trade

    def licensee(self, slug: str) -> Licensee:
        if slug not in self.licensees:
            self.licensees[slug] = Licensee(slug=slug, name=slug.title())
            self.session.add(self.licensees[slug])
            self.session.flush()
        return self.licensees[slug]

    def account(self, licensee: str, zone: str | None = None) -> Account:
        if licensee not in self.accounts:
            self.accounts[licensee] = Account(
                licensor_id=self.licensor.id,
                licensee_id=self.licensee(licensee).id,
                zone=zone or self.zone,
                currency=self.currency,
            )
            self.session.add(self.accounts[licensee])
            self.session.flush()
        return self.accounts[licensee]

    def model(self, slug: str, *, bases: Sequence[str] = (), owes: str | None = None) -> Model:
        """A model of the licensor's; with bases, a derivative that owes its base's fee."""
        if slug not in self.models:
            model = Model(
                licensor_id=self.licensor.id,
                slug=slug,
                name=slug,
                kind="fine-tune" if bases else "checkpoint",
                owes=owes or ("base" if bases else "own"),
            )
            self.session.add(model)
            self.session.flush()
            self.models[slug] = model
            self.session.add(ModelName(name=slug, model_id=model.id))
            self.session.add_all(ModelBase(model_id=model.id, base_id=self.model(base).id) for base in bases)
            self.session.flush()
        return self.models[slug]

    def agreement(
        self,
        slug: str = "deal",
        *,
        fees: list[dict[str, Any]],
        licensee: str = "north",
        starts_on: date = date(2026, 1, 1),
        ends_on: date = date(2027, 1, 1),
        **terms: Any,
    ) -> Agreement:
        """A signed agreement over the models its fees name."""
        account, term = self.account(licensee), Period(starts_on, ends_on)
        starts_at, ends_at = term.bounds(account.zone)
        agreement = Agreement(
            account_id=account.id,
            slug=slug,
            name=slug,
            starts_on=starts_on,
            ends_on=ends_on,
            starts_at=starts_at,
            ends_at=ends_at,
            status="signed",
            signed_at=starts_at,
        )
        self.session.add(agreement)
        self.session.flush()
        for party in ("licensor", "licensee"):
            signed = {"party": party, "signer": f"the {party}", "signed_on": starts_on, "effective_on": starts_on}
            self.session.add(
                AgreementEvent(agreement_id=agreement.id, kind="signed", amendment_number=0, document_hash="", **signed)
            )
        self.amend(agreement, starts_on, fees=fees, **terms)
        for model in {model for fee in fees for model in fee.get("models", ())}:
            self.session.execute(
                insert(AgreementModel).values(
                    agreement_id=agreement.id,
                    account_id=account.id,
                    model_id=self.model(model).id,
                    days=text(f"daterange('{starts_on}', '{ends_on}')"),
                )
            )
        return agreement

    def amend(self, agreement: Agreement, effective_on: date, *, fees: list[dict[str, Any]], **terms: Any) -> None:
        """The next amendment: the whole terms from a day on."""
        document = terms_document(parse_terms({"currency": self.currency, "fees": fees, **terms}))
        number = len(list(self.session.scalars(select(Amendment.id).where(Amendment.agreement_id == agreement.id))))
        self.session.add(
            Amendment(
                agreement_id=agreement.id,
                number=number,
                effective_on=effective_on,
                terms=document,
                document_hash="",
            )
        )
        self.session.flush()

    def use(
        self,
        model: str,
        image_count: int,
        occurred_at: str,
        *,
        licensee: str = "north",
        adapters: Sequence[str] = (),
        plan: str = "",
        output: str = "image",
        event_id: str | None = None,
    ) -> None:
        """One stored event, as intake would have left it."""
        self.session.execute(
            insert(UsageEvent).values(
                licensee_id=self.licensee(licensee).id,
                event_id=event_id or f"event-{next(_numbers)}",
                model=model,
                image_count=image_count,
                occurred_at=datetime.fromisoformat(occurred_at),
                adapters=sorted(set(adapters)),
                plan=plan,
                output=output,
                report_no=0,
            )
        )
