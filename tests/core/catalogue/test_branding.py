"""A licensor's look and an account's bank, declared in a catalogue: read strictly, kept, shown in the plan."""

import hashlib
from datetime import date

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from core.catalogue.apply import apply, plan, standing
from core.catalogue.declare import parse_catalogue
from core.errors import InvalidInput, NotFound
from core.registry.brand import Brand
from core.registry.pictures import picture_of
from core.registry.tables import StoredPicture

TODAY = date(2026, 11, 22)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 30"><rect width="90" height="{}"/></svg>'
FILES = {f"{name}.svg": SVG.format(height).encode() for name, height in (("old", 10), ("new", 20))}
BANK = {"iban": "DE02 1203 0000 0000 2020 51", "bic": "BYLADEM1001"}


def pictures(name):
    if name not in FILES:
        raise NotFound("no_file", f"there is no file {name}")
    return picture_of(FILES[name])


def declared(brand=None, bank=None):
    licensor = {
        "slug": "guild",
        "name": "Guild",
        "invoice_prefix": "GLD",
        **({} if brand is None else {"brand": brand}),
    }
    account = {"licensor": "guild", "licensee": "north", "currency": "EUR"}
    if bank is not None:
        account["billing"] = {"bank": bank}
    document = {"licensors": [licensor], "licensees": [{"slug": "north", "name": "North"}], "accounts": [account]}
    return parse_catalogue(document, pictures)


def test_a_brand_stands_changes_and_is_left_alone_as_the_file_says(session) -> None:
    apply(session, declared({"logo": "old.svg", "colour": "#1B4D89"}), TODAY)
    assert standing(session).licensors["guild"].brand == Brand("#1b4d89", "", picture_of(FILES["old.svg"]))
    assert apply(session, declared(), TODAY).steps == (), "what a file leaves out stays"
    [step] = plan(session, declared({"logo": "new.svg", "accent": "#3f7d8c"}), TODAY).changed
    old, new = (hashlib.sha256(FILES[name]).hexdigest()[:12] for name in ("old.svg", "new.svg"))
    assert [(a.what, a.old, a.new) for a in step.alterations] == [
        ("brand.logo", f"SVG {old}", f"SVG {new}"),
        ("brand.colour", "#1b4d89", ""),
        ("brand.accent", "", "#3f7d8c"),
    ]
    apply(session, declared({"logo": "new.svg", "accent": "#3f7d8c"}), TODAY)
    apply(session, declared({}), TODAY)
    assert standing(session).licensors["guild"].brand is None
    kept = session.scalars(select(StoredPicture.content)).all()
    assert sorted(kept) == sorted(FILES.values()), "what invoices may name is kept for good"


def test_pictures_can_neither_be_changed_nor_lie_about_their_hash(session) -> None:
    apply(session, declared({"logo": "old.svg"}), TODAY)
    for statement in ("UPDATE pictures SET content = 'x'", "DELETE FROM pictures"):
        with pytest.raises(ProgrammingError, match="permission denied"), session.begin_nested():
            session.execute(text(statement))
    with pytest.raises(Exception, match="ck_pictures_hash"), session.begin_nested():
        session.add(StoredPicture(sha256="0" * 64, media_type="image/png", content=b"x"))
        session.flush()


def test_a_bank_stands_and_is_shown_in_the_plan(session) -> None:
    apply(session, declared(bank=BANK), TODAY)
    assert apply(session, declared(bank=BANK), TODAY).steps == ()
    [step] = plan(session, declared(bank={"iban": "GB82 WEST 1234 5698 7654 32"}), TODAY).changed
    assert [(a.what, a.old, a.new) for a in step.alterations] == [
        ("bank", "DE02120300000000202051, BYLADEM1001", "GB82WEST12345698765432")
    ]


@pytest.mark.parametrize(
    ("brand", "path", "said"),
    [
        ({"logo": "none.svg"}, "licensors[0].brand.logo", "there is no file"),
        ({"colour": None}, "licensors[0].brand.colour", "written in quotes"),
        ({"colour": "#ffcc00"}, "licensors[0].brand.colour", "darker one"),
        ({"accent": "#ffff00"}, "licensors[0].brand.accent", "darker one"),
        ({"color": "#1b4d89"}, "licensors[0].brand.color", "known are accent, colour, logo"),
    ],
)
def test_a_look_that_cannot_be_printed_is_refused_at_its_place(brand, path, said) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        declared(brand)
    assert refused.value.detail["path"] == path


@pytest.mark.parametrize(("bank", "path"), [({**BANK, "iban": "DE99"}, "iban"), ({**BANK, "bic": "X"}, "bic")])
def test_a_bank_that_cannot_be_is_refused_at_its_place(bank, path) -> None:
    with pytest.raises(InvalidInput) as refused:
        declared(bank=bank)
    assert refused.value.detail["path"] == f"accounts[0].billing.bank.{path}"


def test_without_a_file_there_is_no_folder_for_a_logo() -> None:
    with pytest.raises(InvalidInput, match="no folder"):
        parse_catalogue(
            {"licensors": [{"slug": "g", "name": "G", "invoice_prefix": "G", "brand": {"logo": "old.svg"}}]}
        )
