"""The licensor itself: what invoices print of it, and how they look."""

from typing import cast

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from core.access.own_house import change_own_brand, change_own_contact, own_logo
from core.errors import InvalidInput, NotFound
from core.invoicing.paper.document import Logo, demand_drawable
from core.registry.brand import Brand
from core.registry.entries import Contact
from core.registry.pictures import MAX_BYTES, Picture, picture_of
from core.registry.tables import Licensor
from service.dashboard.acting import act
from service.dashboard.files import file_response
from service.dashboard.form import Filled, Form
from service.dashboard.pages.settings.router import router, settings_page
from service.dashboard.rendering import after
from service.dashboard.signed_in import Admin, FinanceEyes, FinancePerson, Viewer

MAX_NAME, MAX_ADDRESS = 200, 1_600


@router.get("")
def organisation(request: Request, person: Viewer, eyes: FinanceEyes) -> Response:
    return _shown(request, person, eyes)


@router.post("/organisation")
def change_organisation(request: Request, person: Admin, eyes: FinanceEyes, form: Filled) -> Response:
    """What the next invoice prints of us."""
    with form:
        contact = Contact(
            form.text("name", most=MAX_NAME),
            tuple(line for each in form.text("address", required=False, most=MAX_ADDRESS, lines=True).split("\n")
                  if (line := each.strip())),
            form.text("email", required=False, most=190),
            form.text("tax_id", required=False, most=40),
        )  # fmt: skip
        form.demand()
        try:
            act(request, lambda session: change_own_contact(session, person.licensor_id, person.actor, contact))
        except InvalidInput as refused:
            form.refuse("tax_id" if refused.code == "bad_tax_id" else refused.detail.get("field", ""), refused.sentence)
    if form.wrong:
        return _shown(request, person, eyes, contact=form)
    return after(request, "/settings", "Kept. The next invoice prints it so; issued ones stay as they are.")


@router.post("/brand")
def change_brand(request: Request, person: Admin, eyes: FinanceEyes, form: Filled) -> Response:
    """Colours and logo of invoices, statements and the like, from the next issue on."""
    with form:
        sent = form.file("logo")
        colour, accent = (form.text(name, required=False, most=40).lower() for name in ("colour", "accent"))
        logo = _logo_in(form, sent.file.read(MAX_BYTES + 1)) if sent else None
        brand = _brand_of(form, colour, accent, logo)
        form.demand()
        keep = sent is None and not form.flag("no_logo")
        act(request, lambda session: _change(session, person, brand, keep_logo=keep))
    if form.wrong:
        return _shown(request, person, eyes, brand=form)
    return after(request, "/settings#brand", "Kept. The next invoice looks so; issued ones stay as they are.")


@router.get("/logo")
def own_logo_picture(request: Request, person: Viewer) -> Response:
    """The logo's bytes. An SVG was judged when it came in: it does nothing and names nothing outside itself."""
    found = act(request, lambda session: own_logo(session, person.licensor_id))
    if found is None:
        raise NotFound("no_logo", "there is no logo")
    ending = "png" if found.media_type == "image/png" else "svg"
    return file_response(found.content, found.media_type, f"logo.{ending}", inline=True)


def _change(session: Session, person: FinancePerson, brand: Brand, *, keep_logo: bool) -> None:
    logo = own_logo(session, person.licensor_id) if keep_logo else brand.logo
    change_own_brand(session, person.licensor_id, person.actor, Brand(brand.colour, brand.accent, logo))


def _logo_in(form: Form, content: bytes) -> Picture | None:
    """The picture that was chosen, drawn once as an invoice would; what is wrong with it stands at its field."""
    try:
        found = picture_of(content)
        demand_drawable(Logo(found.media_type, content))
    except InvalidInput as refused:
        form.refuse("logo", refused.sentence)
        return None
    return found


def _brand_of(form: Form, colour: str, accent: str, logo: Picture | None) -> Brand:
    try:
        return Brand(colour, accent, logo)
    except InvalidInput as refused:
        form.refuse(str(refused.detail.get("at", "colour")), refused.sentence)
        return Brand()


def _shown(
    request: Request, person: FinancePerson, eyes: Session, *, contact: Form | None = None, brand: Form | None = None
) -> Response:
    house = cast(Licensor, eyes.scalars(select(Licensor).where(Licensor.id == person.licensor_id)).one())
    wrong = contact or brand
    return settings_page(
        request, "organisation.html", person, "Organisation", status=wrong.status if wrong else 200, house=house,
        contact=contact, brand=brand,
    )  # fmt: skip
