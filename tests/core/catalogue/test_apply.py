"""A catalogue carried out on a real database: all of it, once, or nothing."""

import time
from copy import deepcopy
from datetime import date
from threading import Thread

import pytest
import yaml
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.agreements.amend import extend
from core.agreements.tables import Agreement, AgreementModel, Amendment
from core.catalogue.apply import apply, plan, standing
from core.catalogue.declare import parse_catalogue
from core.errors import Conflict
from core.registry.queries import lineage
from core.registry.tables import Licensor, Model
from tests.edits import edited

TODAY = date(2026, 8, 15)


def counted(session) -> dict[str, int | None]:
    tables = (Licensor, Model, Agreement, Amendment, AgreementModel)
    return {table.__tablename__: session.scalar(select(func.count()).select_from(table)) for table in tables}


def test_what_was_declared_stands_and_a_second_time_does_nothing(session, document):
    declared = parse_catalogue(document)
    assert len(apply(session, declared, TODAY).created) == 13
    session.commit()
    before = counted(session)
    stands = standing(session)
    assert stands.models == declared.models
    assert stands.accounts == declared.accounts
    assert stands.agreements["deal"] == declared.agreements["deal"]
    again = apply(session, declared, TODAY)
    assert (again.steps, again.refused) == ((), ())
    assert counted(session) == before
    assert before["agreement_models"] == 1, "a draft covers nothing"


def test_changes_are_carried_out_and_then_there_is_nothing_left_to_do(session, document):
    apply(session, parse_catalogue(document), TODAY)
    session.commit()
    terms = document["agreements"][0]["terms"]
    for path, value in {
        "licensors.0.name": "The Guild",
        "licensees.1.email": "south@b.c",
        "models.0.name": "One",
        "models.1.aliases": ["SD two"],
        "units.0.name": "Buzzes",
        "agreements.0.name": "Renamed",
        "agreements.0.amendments.1": {"effective_on": "2026-09-01", "terms": terms | {"payment_days": 7}},
        "agreements.1.terms.fees.0.schedule.rate": "6",
        "agreements.1.ends_on": "2026-10-01",
        "agreements.1.draft": False,
    }.items():
        edited(document, path, value)
    declared = parse_catalogue(document)
    assert len(apply(session, declared, TODAY).changed) == 7
    session.commit()
    assert apply(session, declared, TODAY).steps == ()
    stands = standing(session)
    assert stands.agreements["deal"] == declared.agreements["deal"]
    assert stands.agreements["plan-b"].versions == declared.agreements["plan-b"].versions
    assert stands.agreements["plan-b"].draft is False
    assert stands.licensors["guild"].contact.name == "The Guild"
    assert lineage(session).resolve("SD two").unknown == ()


def test_one_refusal_means_that_nothing_at_all_is_done(session, document):
    apply(session, parse_catalogue(document), TODAY)
    session.commit()
    before = counted(session)
    edited(document, "agreements.0.terms.fees.0.schedule.rate", "6")
    edited(document, "licensors.2", {"slug": "third", "name": "Third", "invoice_prefix": "TRD"})
    declared = parse_catalogue(document)
    assert [step.key for step in plan(session, declared, TODAY).created] == ["third"]
    with pytest.raises(Conflict, match=r"agreements\[0\].terms: agreement deal is signed and never edited"):
        apply(session, declared, TODAY)
    session.commit()
    assert counted(session) == before


def test_what_nobody_has_seen_is_not_done(engine, session, document):
    declared = parse_catalogue(document)
    seen = plan(session, declared, TODAY)
    session.rollback()
    with Session(engine) as other:
        other.execute(text("INSERT INTO licensors (slug, name, invoice_prefix) VALUES ('guild', 'Guild', 'GLD')"))
        other.commit()
    with pytest.raises(Conflict, match="look at the new plan first"):
        apply(session, declared, TODAY, shown=seen)
    session.rollback()
    apply(session, declared, TODAY, shown=plan(session, declared, TODAY))


def test_two_who_apply_the_same_file_at_once_do_it_once(engine, session, document):
    declared = parse_catalogue(document)
    shown = plan(session, declared, TODAY)
    session.rollback()
    apply(session, declared, TODAY, shown=shown)
    outcomes: list[object] = []

    def second() -> None:
        with Session(engine) as other:
            try:
                outcomes.append(apply(other, declared, TODAY, shown=shown).steps)
            except Conflict as refused:
                outcomes.append(refused)

    thread = Thread(target=second)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), "it waits for the first"
    session.commit()
    thread.join(30)
    assert outcomes == [()]


def test_two_files_may_build_on_each_other(session, document):
    agreements = {"agreements": document.pop("agreements")}
    apply(session, parse_catalogue(document), TODAY)
    assert [step.key for step in apply(session, parse_catalogue(agreements), TODAY).created] == ["deal", "plan-b"]


def test_every_scenario_and_the_demo_apply_on_an_empty_database_and_twice(session, project_folder):
    files = [
        *sorted((project_folder / "config/scenarios").glob("*.yaml")),
        project_folder / "config/demo/catalogue.yaml",
    ]
    assert len(files) == 10
    for file in files:
        declared = parse_catalogue(yaml.safe_load(file.read_text()))
        changes = apply(session, declared, TODAY)
        assert changes.refused == (), file.name
        assert apply(session, declared, TODAY).steps == (), f"{file.name} applied a second time"
        session.rollback()


def test_a_thousand_models_are_quick(session, document):
    family = document["models"][0]["derivatives"]
    for n in range(1_000):
        family.append({"slug": f"tune-{n}", "name": f"Tune {n}", "kind": "fine-tune", "aliases": [f"Tune {n}"]})
    declared = parse_catalogue(deepcopy(document))
    statements: list[str] = []
    session.connection()
    from sqlalchemy import event

    event.listen(session.get_bind(), "before_cursor_execute", lambda *args: statements.append(args[2]))
    began = time.monotonic()
    apply(session, declared, TODAY)
    session.commit()
    assert len(statements) < 100, "statements do not grow with the number of models"
    assert time.monotonic() - began < 10
    assert apply(session, declared, TODAY).steps == ()


def test_an_amendment_that_leaves_a_model_out_frees_it_for_another_agreement_of_the_same_file(session, document):
    apply(session, parse_catalogue(document), TODAY)
    session.commit()
    edited(document, "agreements.2", {**deepcopy(document["agreements"][0]), "slug": "other", "amendments": []})
    other = document["agreements"].pop()
    other["starts_on"] = date(2026, 9, 1)
    document["agreements"].insert(0, other)  # what takes the days stands first
    without = deepcopy(document["agreements"][1]["terms"])
    without["fees"][0]["models"] = ["sd-2"]
    document["agreements"][1]["amendments"].append({"effective_on": date(2026, 9, 1), "terms": without})
    declared = parse_catalogue(document)
    changes = apply(session, declared, TODAY)
    session.commit()
    assert (changes.refused, [step.key for step in changes.created]) == ((), ["other"])
    assert apply(session, declared, TODAY).steps == ()


def test_an_end_is_declared_carried_out_once_and_stays(session, document):
    apply(session, parse_catalogue(document), TODAY)
    session.commit()
    end = {"on": date(2026, 9, 1), "kind": "terminated", "by": "licensee", "reason": "out of business"}
    edited(document, "agreements.0.ends_early", end)
    declared = parse_catalogue(document)
    (step,) = apply(session, declared, TODAY).changed
    assert [(a.what, a.new) for a in step.alterations] == [("ends early", "terminated on 2026-09-01: out of business")]
    session.commit()
    assert standing(session).agreements["deal"].ends_early == declared.agreements["deal"].ends_early
    assert apply(session, declared, TODAY).steps == ()
    del document["agreements"][0]["ends_early"]
    assert apply(session, parse_catalogue(document), TODAY).steps == (), "what a file leaves out stays"
    edited(document, "agreements.0.ends_early", end | {"on": date(2026, 8, 1)})
    with pytest.raises(Conflict, match=r"agreements\[0\].ends_early: agreement deal was terminated on 2026-09-01 for"):
        apply(session, parse_catalogue(document), TODAY)
    edited(document, "agreements.0.ends_early", {"on": date(2026, 8, 1), "kind": "revoked", "reason": "breach"})
    assert len(apply(session, parse_catalogue(document), TODAY).changed) == 1
    session.commit()
    assert apply(session, parse_catalogue(document), TODAY).steps == ()


def test_an_agreement_of_the_past_may_be_declared_with_its_early_end_at_once(session, document):
    end = {"on": date(2026, 3, 1), "kind": "revoked", "reason": "breach"}
    edited(document, "agreements.0.ends_early", end)
    after = {**deepcopy(document["agreements"][0]), "slug": "after", "starts_on": date(2026, 3, 1), "amendments": []}
    del after["ends_early"]
    document["agreements"].append(after)
    declared = parse_catalogue(document)
    assert apply(session, declared, TODAY).refused == ()
    session.commit()
    assert apply(session, declared, TODAY).steps == ()
    days = session.scalars(select(AgreementModel.days).order_by(AgreementModel.id))
    assert [(run.lower, run.upper) for run in days] == [
        (date(2026, 1, 1), date(2026, 3, 1)),
        (date(2026, 3, 1), date(2027, 1, 1)),
    ]


def test_a_file_may_name_the_end_that_a_term_had_before_it_was_extended(session, document):
    apply(session, parse_catalogue(document), TODAY)
    extend(session, "deal", date(2028, 1, 1))
    session.commit()
    assert apply(session, parse_catalogue(document), TODAY).steps == ()
    edited(document, "agreements.0.ends_on", "2027-06-01")
    (refusal,) = plan(session, parse_catalogue(document), TODAY).refused
    assert "perimage agreements terminate deal --on 2027-06-01 --preview" in refusal.sentence
    assert refusal.instead is not None
    assert refusal.instead["ends_early"]["on"] == date(2027, 6, 1)
    edited(document, "agreements.0.ends_on", "2029-01-01")
    (refusal,) = plan(session, parse_catalogue(document), TODAY).refused
    assert "perimage agreements extend deal --to 2029-01-01 --preview" in refusal.sentence
