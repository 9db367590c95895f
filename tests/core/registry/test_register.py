"""Entering parties, models and keys, on a real database as the application role."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import ProgrammingError

from core.errors import Conflict, InvalidInput, NotFound
from core.registry import register
from core.registry.entries import AccountEntry, Contact, LicenseeEntry, LicensorEntry, ModelEntry
from core.registry.keys import parse_key, same_secret
from core.registry.queries import lineage, meter_key, meter_keys
from core.registry.tables import Account, Licensee, Licensor, MeterKey, Model

AIR = "urn:air:sd1:checkpoint:civitai:1@2"


@pytest.fixture
def parties(session):
    register.add_licensors(session, [LicensorEntry("guild", Contact("Guild"), "GLD")])
    register.add_licensees(
        session,
        [
            LicenseeEntry("north", Contact("North", ("Street 1",), "a@b.c", "DE123456789")),
            LicenseeEntry("south", Contact("South")),
        ],
    )
    return session


def models(session, *entries: ModelEntry) -> None:
    register.add_models(session, entries)


def test_a_lineage_is_read_back_as_it_was_entered(parties):
    models(
        parties,
        ModelEntry("merge", "Merge", "guild", "merge", "both", frozenset({"sd-1", "sd-2"})),
        ModelEntry("sd-1", "SD 1", "guild", names=frozenset({AIR, "SD One"})),
        ModelEntry("sd-2", "SD 2", "guild"),
    )
    read = lineage(parties)
    ids = register.ids(parties, Model, ["merge", "sd-1", "sd-2"])
    assert read.resolve("merge").model_ids == set(ids.values())
    assert read.resolve(AIR).via_model_id == read.resolve("SD One").via_model_id == ids["sd-1"]
    assert len(read) == 3


def test_a_cycle_a_model_that_owes_nothing_and_a_taken_name_are_refused(parties):
    models(parties, ModelEntry("sd-1", "SD 1", "guild", names=frozenset({AIR})))
    parties.commit()
    a = ModelEntry("a", "A", "guild", "merge", "base", frozenset({"b"}))
    b = ModelEntry("b", "B", "guild", "merge", "base", frozenset({"a"}))
    with pytest.raises(Conflict, match="its own ancestor"):
        models(parties, a, b)
    parties.rollback()
    with pytest.raises(InvalidInput, match="has no base"):
        models(parties, ModelEntry("c", "C", "guild", "lora", "base"))
    parties.rollback()
    for taken in (
        ModelEntry("sd-1", "Again", "guild"),
        ModelEntry("d", "D", "guild", names=frozenset({AIR})),
        ModelEntry("d", "D", "guild", names=frozenset({"sd-1"})),
    ):
        with pytest.raises(Conflict, match="registered already"):
            models(parties, taken)
        parties.rollback()
    with pytest.raises(NotFound, match="no model called nobody"):
        models(parties, ModelEntry("e", "E", "guild", "lora", "base", frozenset({"nobody"})))


def test_a_name_added_later_resolves_from_then_on(parties):
    models(parties, ModelEntry("sd-1", "SD 1", "guild"))
    assert lineage(parties).resolve(AIR).unknown == (AIR,)
    register.add_names(parties, {AIR: "sd-1"})
    assert lineage(parties).resolve(AIR).unknown == ()


def test_accounts_are_one_for_a_pair_in_a_real_zone_and_a_currency(parties):
    register.add_accounts(
        parties, [AccountEntry("guild", "north", "USD", "Asia/Tokyo"), AccountEntry("guild", "south", "JPY")]
    )
    assert set(parties.execute(select(Account.zone, Account.currency))) == {
        ("Asia/Tokyo", "USD"),
        ("UTC", "JPY"),
    }
    with pytest.raises(Conflict, match="registered already"):
        register.add_accounts(parties, [AccountEntry("guild", "north", "USD")])
    with pytest.raises(InvalidInput, match="not a time zone"):
        register.add_accounts(parties, [AccountEntry("guild", "north", "USD", "Mars/Olympus")])
    with pytest.raises(InvalidInput, match="not a currency"):
        register.add_accounts(parties, [AccountEntry("guild", "north", "dollars")])


def test_contact_details_change_and_what_is_not_said_stays(parties):
    register.change_contact(parties, Licensee, "north", Contact("Northern", email="new@b.c"))
    north = parties.scalar(select(Licensee).where(Licensee.slug == "north"))
    assert (north.name, north.address, north.email) == ("Northern", ["Street 1"], "new@b.c")
    assert north.tax_id == "DE123456789"
    with pytest.raises(NotFound, match="no licensor called north"):
        register.change_contact(parties, Licensor, "north", Contact("X"))


def test_a_model_is_renamed_and_keeps_its_slug(parties):
    models(parties, ModelEntry("sd-1", "SD 1", "guild"), ModelEntry("sd-2", "SD 2", "guild"))
    register.rename_models(parties, {"sd-1": "Stable One"})
    assert dict(parties.execute(select(Model.slug, Model.name)).all()) == {
        "sd-1": "Stable One",
        "sd-2": "SD 2",
    }


@pytest.mark.parametrize(
    "column", ["accounts.zone", "accounts.currency", "models.licensor_id", "models.owes", "licensors.invoice_prefix"]
)
def test_the_application_may_not_rewrite_what_is_fixed_for_good(parties, column):
    table, name = column.split(".")
    with pytest.raises(ProgrammingError, match="permission denied"):
        parties.execute(text(f"UPDATE {table} SET {name} = {name}"))


def test_a_key_is_kept_only_as_a_hash(parties):
    key = register.issue_key(parties, "north", "host 1")
    public_id, secret = parse_key(key) or ("", "")
    stored = meter_key(parties, public_id)
    assert stored is not None
    assert same_secret(secret, stored.secret_hash)
    assert (stored.label, stored.backfill_from, stored.revoked_at) == ("host 1", None, None)
    parties.flush()
    row = parties.execute(text("SELECT meter_keys::text FROM meter_keys")).scalar_one()
    assert public_id in row
    assert secret not in row
    assert secret.encode().hex() not in row


def test_a_back_fill_permission_needs_a_day_and_a_reason(parties):
    for day, reason in ((date(2026, 1, 1), None), (date(2026, 1, 1), "  "), (None, "lost a month")):
        with pytest.raises(InvalidInput, match="both the first day allowed and a reason"):
            register.issue_key(parties, "north", "", day, reason)
    key = register.issue_key(parties, "north", "", date(2026, 1, 1), "lost a month")
    stored = meter_key(parties, key.split("_")[1])
    assert stored is not None
    assert (stored.backfill_from, stored.backfill_reason) == (date(2026, 1, 1), "lost a month")


def test_a_revoked_key_stays_revoked_from_the_first_time(parties):
    public_id = register.issue_key(parties, "north", "").split("_")[1]
    register.revoke_key(parties, public_id)
    parties.execute(update(MeterKey).values(revoked_at=datetime(2026, 1, 1, tzinfo=UTC)))
    register.revoke_key(parties, public_id)
    stored = meter_key(parties, public_id)
    assert stored is not None
    assert stored.revoked_at == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(NotFound, match="no meter key with the public id nobody"):
        register.revoke_key(parties, "nobody")


def test_several_keys_live_at_once_and_are_listed_by_licensee(parties):
    for licensee, label in (("north", "old"), ("north", "new"), ("south", "one")):
        register.issue_key(parties, licensee, label)
    assert [(key.label, slug) for key, slug in meter_keys(parties)] == [
        ("old", "north"),
        ("new", "north"),
        ("one", "south"),
    ]
    assert [key.label for key, _ in meter_keys(parties, "south")] == ["one"]


@pytest.mark.parametrize("label", ["a\nb", "\x00", "x" * 256, "\ud800"])
def test_a_label_is_one_printable_line(parties, label):
    with pytest.raises(InvalidInput, match="one line of at most 255 printable characters"):
        register.issue_key(parties, "north", label)


def test_a_key_for_nobody_is_refused(parties):
    with pytest.raises(NotFound, match="no licensee called nobody"):
        register.issue_key(parties, "nobody", "")
    assert parties.scalar(select(func.count()).select_from(MeterKey)) == 0
