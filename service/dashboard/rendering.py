"""Pages from templates: `page` writes one, `after` leads to the next with a word on what was done.

Templates are Jinja2 with autoescape on and undefined names refused. In every template: `ui` (the macros of parts/),
`me` (who looks, or none), `path`, `theme`, `static(name)`, `csrf()`, and the filters of `written.py`.
"""

from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from service.dashboard import written
from service.dashboard.browser import chosen, cookie, csrf_token, drop_cookie, flash_of, put_flash
from service.dashboard.charts import spark_points, week_months, weeks_of
from service.dashboard.navigation import menu_of
from service.dashboard.signed_in import Person
from service.dashboard.static import static_address

TEMPLATES = Path(__file__).parent / "templates"
PARTS = TEMPLATES / "parts"
THEMES = ("light", "dark")
HTML = "text/html; charset=utf-8"
_token: ContextVar[str] = ContextVar("csrf", default="")


class _Macros:
    """Every macro of parts/*.html by its own name, so that no template has to import any."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._found: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._found:
            for file in sorted(PARTS.glob("*.html")):
                module = self._environment.get_template(f"parts/{file.name}").module
                self._found.update({key: value for key, value in vars(module).items() if not key.startswith("_")})
        if name not in self._found:
            raise AttributeError(f"there is no macro {name} in templates/parts/")
        return self._found[name]


@cache
def environment() -> Environment:
    """The templates, compiled once a process."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False, cache_size=-1,
    )  # fmt: skip
    made.filters.update(written.FILTERS, weeks=weeks_of, week_months=week_months, spark_points=spark_points)
    made.globals.update(static=static_address, csrf=_csrf_field, csrf_value=_token.get, ui=_Macros(made))
    return made


def _csrf_field() -> Markup:
    """The hidden field that every form with method=post has."""
    return Markup('<input type="hidden" name="csrf" value="{}">').format(_token.get())


def page(
    request: Request, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any
) -> Response:
    """A page. What it needs of the request it finds by itself; `values` are the template's own."""
    person: Person | None = getattr(request.state, "person", None)
    language = written.language_of(
        chosen(request, "language", written.LANGUAGES), request.headers.get("accept-language", "")
    )
    written.reading.set(written.reader(language))
    _token.set(csrf_token(person.csrf_secret) if person else "")
    partial = "hx-request" in request.headers
    flash = None if partial or not person else flash_of(request, person.csrf_secret)
    values = {
        "me": person,
        "menu": menu_of(person, request.scope["path"]),
        "path": request.scope["path"],
        "theme": chosen(request, "theme", THEMES) or "auto",
        "language": language,
        "flash": flash,
        "query": request.query_params,
        **values,
    }
    text = environment().get_template(template).render(values)
    response = Response(text, status, headers=headers, media_type=HTML)
    if not partial and cookie(request, "perimage-flash"):
        drop_cookie(request, response, "perimage-flash")
    return response


def after(request: Request, address: str, said: str = "", *, tone: str = "good") -> Response:
    """Leads on after an act, with a sentence for the next page. `tone`: good, warn or bad."""
    response: Response
    if "hx-request" in request.headers:
        response = Response(status_code=200, headers={"HX-Redirect": address})
    else:
        response = RedirectResponse(address, 303)
    person: Person | None = getattr(request.state, "person", None)
    if said and person:
        put_flash(request, response, person.csrf_secret, said, tone)
    return response
