"""Sending a file of usage: the same machinery as `POST /v1/imports`, in the name of a key that the manager chooses.

The work goes on when the answer is given, and the file's page shows how far it is. What is wrong with the file as a
whole shows within a moment, so that is waited for and said at the form.
"""

import asyncio
import tempfile
from functools import partial
from pathlib import PurePath
from typing import IO, Any
from uuid import uuid4

from fastapi import Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import Response

from core.access.own_keys import live_key, note_by_hand
from core.errors import InvalidInput, PerimageError
from core.usage.intake.report import is_clean
from core.usage.intake.rows import check_import_id, read_naming
from service.caller import Caller
from service.dashboard.acting import act
from service.dashboard.form import Filled, Form
from service.dashboard.portal.reporting.files import files_page
from service.dashboard.portal.reporting.router import router
from service.dashboard.rendering import after
from service.dashboard.signed_in import LicenseePerson, PortalEyes, PortalManager
from service.imports.reading import DELIMITERS, SUFFIXES, Reading
from service.imports.taking_in import Asked, take_in

MOMENT = 2.0  # seconds in which a file that cannot be read is found out
PIECE = 1024 * 1024
_going_on: set["asyncio.Task[None]"] = set()  # so that none is lost while it runs


@router.post("")
async def send_file(request: Request, person: PortalManager, eyes: PortalEyes, form: Filled) -> Response:
    """Takes a file in, and leads to its page."""
    asked = None
    with form:
        asked, public_id, content = _asked(form)
        caller = await run_in_threadpool(_caller, request, person, public_id, asked)
        state = request.app.state
        again = partial(state.callers.find_live, public_id)
        task = asyncio.create_task(_taken_in(state, content, caller, again, asked))
        _going_on.add(task)
        task.add_done_callback(_end)
        await asyncio.wait({task}, timeout=MOMENT)
        if task.done() and (error := task.exception()) is not None:
            raise error
    if form.wrong or asked is None:
        return await run_in_threadpool(files_page, request, person, eyes, form)
    return after(request, f"/portal/reporting/{asked.import_id}", "The file is here; see what became of its rows.")


def _asked(form: Form) -> tuple[Asked, str, UploadFile]:
    """What was typed and chosen."""
    sent = form.file("file")
    name = PurePath((sent.filename or "").replace("\\", "/")).name if sent else ""
    format_ = SUFFIXES.get(PurePath(name).suffix.lower())
    if sent is None:
        form.refuse("file", "choose a file")
    elif format_ is None:
        form.refuse("file", f"its name has to end in {', '.join(SUFFIXES)}: this says what kind it is")
    elif not is_clean(name):
        form.refuse("file", "its name has characters that cannot be printed: give it another one")
    chosen = form.text("import_id", required=False, most=128)
    delimiter = form.choice("delimiter", ("", "comma", "semicolon", "tab"), "")
    mapped = form.text("map", required=False, most=2000, lines=True).split()
    public_id = form.text("key", most=16)
    form.demand()
    if sent is None or format_ is None:
        raise InvalidInput("bad_form", "choose a file", field="file")
    naming = read_naming(mapped, ignore_extra=form.flag("ignore_extra"))
    if delimiter and format_ != "csv":
        raise InvalidInput("invalid_delimiter", "a separator is for CSV only", field="delimiter")
    import_id = check_import_id(chosen) if chosen else f"portal-{uuid4()}"
    return Asked(import_id, name[:255], Reading(format_, naming, DELIMITERS.get(delimiter))), public_id, sent


def _caller(request: Request, person: LicenseePerson, public_id: str, asked: Asked) -> Caller:
    """The chosen key as a caller; who uses it stands in the log of every licensor."""

    def verb(session: Session) -> Caller:
        key = live_key(session, person.licensee_id, person.actor, public_id)
        note_by_hand(session, person.actor, key, "usage.file_sent", f"{asked.file_name} as {asked.import_id}")
        return Caller(person.licensee_id, key.id, key.backfill_from, person.licensee)

    return act(request, verb)


async def _taken_in(state: Any, sent: UploadFile, caller: Caller, again: Any, asked: Asked) -> None:
    """The whole file, piece by piece from a copy of our own: what came with the request may be closed when it ends."""
    with tempfile.TemporaryFile(prefix="perimage-portal-") as copy:
        await run_in_threadpool(_copied, sent.file, copy)

        async def receive() -> dict[str, Any]:
            piece = await run_in_threadpool(copy.read, PIECE)
            return {"type": "http.request", "body": piece, "more_body": bool(piece)}

        await take_in(state, receive, caller, again, asked)


def _copied(source: IO[bytes], target: IO[bytes]) -> None:
    source.seek(0)
    while piece := source.read(PIECE):
        target.write(piece)
    target.seek(0)


def _end(task: "asyncio.Task[None]") -> None:
    """Refusals stand with the import; anything else is for the log of the machine."""
    _going_on.discard(task)
    if not task.cancelled() and (error := task.exception()) and not isinstance(error, PerimageError):
        task.get_loop().call_exception_handler({"message": "a file was not taken in", "exception": error})
