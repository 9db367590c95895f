"""From a fact in the database to a letter and a verified webhook, by the worker's own tasks; and kill -9 in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from core.actors import Actor
from core.database import make_engine
from core.notices.endpoints import add_endpoint
from core.notices.tables import WebhookEndpoint
from tests.fakes.post_office import PostOffice
from tests.fakes.receiver import Receiver
from tests.fakes.till import Till

HOUSE = Path(__file__).resolve().parents[3]
ADMIN = Actor("Ida", "admin")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with PostOffice() as running:
        yield running


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    engine = make_engine(database_url)
    with Session(engine) as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def chosen(database_url: str, office: PostOffice) -> dict[str, Any]:
    smtp_url = f"smtp+plain://127.0.0.1:{office.port}"
    return {"database_url": database_url, "redis_url": "redis://127.0.0.1:1/0", "smtp_url": smtp_url,
            "mail_from": "billing@guild.example", "allow_private_webhooks": True}  # fmt: skip


@pytest.fixture
def tasks(chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The worker's tasks in this process, on the test's database."""
    from config import settings as our

    monkeypatch.setattr(our, "_chosen", chosen)
    our.settings.cache_clear()
    from worker import session as sessions
    from worker.app import app
    from worker.notices import tasks as found

    app.finalize()
    sessions._engine.cache_clear()
    yield found
    sessions._engine().dispose()
    sessions._engine.cache_clear()
    our.settings.cache_clear()


@pytest.fixture
def endpoint(session: Session, receiver: Receiver) -> WebhookEndpoint:
    till = Till(session)
    till.trade.account("north").contacts = [{"name": "Ann", "email": "ann@north.example"}]
    till.invoice(250_00, due_in=3)
    made = add_endpoint(
        session, ADMIN, till.licensor_id, receiver.url, kinds=["invoice.issued", "invoice.due_soon"], allow_private=True
    )
    session.commit()
    receiver.secret = made.secret
    return made


def states(session: Session) -> list[tuple[str, int]]:
    session.rollback()
    return [tuple(row) for row in session.execute(text("SELECT state, attempts FROM deliveries ORDER BY id"))]


def test_an_invoice_becomes_letters_and_webhooks_once_however_often_the_tasks_run(
    session: Session, endpoint: WebhookEndpoint, receiver: Receiver, office: PostOffice, tasks: Any
) -> None:
    def everything(_: int) -> None:
        tasks.watch_notices()
        tasks.watch_notice_days()
        tasks.deliver_notices()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(everything, range(3)))
    everything(0)
    assert sorted(got.body.split(b'"type":"')[1].split(b'"')[0] for got in receiver.got) == [
        b"invoice.due_soon", b"invoice.issued",
    ]  # fmt: skip
    assert all(got.verified for got in receiver.got)
    assert len(set(receiver.ids)) == 2
    ours = [letter for letter in office.letters if letter.rcpt_tos == ["ann@north.example"]]
    kinds = sorted(bytes(letter.content or b"").split(b"Subject: ")[1][:22] for letter in ours)
    assert kinds[:2] == [b"Invoice GLD-000001 fro", b"Invoice GLD-000001 is "]
    assert set(states(session)) == {("delivered", 1)}


@pytest.mark.slow
def test_a_worker_killed_between_sending_and_recording_sends_the_same_message_again(
    session: Session, endpoint: WebhookEndpoint, receiver: Receiver, chosen: dict[str, Any], tasks: Any
) -> None:
    tasks.watch_notices()
    script = "\n".join(
        (
            f"from config.settings import choose; choose(**{chosen!r})",
            "from core.kill_points import arm; arm('after_send_before_record')",
            "from worker.notices import tasks; from datetime import timedelta",
            "tasks.LEASE = timedelta(milliseconds=1); tasks.deliver_notices()",
        )
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=HOUSE, env=dict(os.environ), check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert ("waiting", 1) in states(session)
    tasks.deliver_notices()
    assert {state for state, _ in states(session)} == {"delivered"}
    assert set(receiver.ids) == {receiver.ids[0]}
    assert all(got.verified for got in receiver.got)


def test_the_test_button_shows_what_the_endpoint_answered(
    endpoint: WebhookEndpoint, receiver: Receiver, tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.cli import app, notices

    monkeypatch.setattr(notices.time, "sleep", lambda _: tasks.deliver_notices())
    receiver.answers = [200, 503]
    good = CliRunner().invoke(app, ["notices", "test", str(endpoint.id)])
    assert (good.exit_code, "delivered (status 200)" in good.output, "thank you" in good.output) == (0, True, True)
    bad = CliRunner().invoke(app, ["notices", "test", str(endpoint.id)])
    assert (bad.exit_code, "failed (status 503)" in bad.output) == (1, True)
    assert receiver.got[0].verified
    listed = CliRunner().invoke(app, ["notices", "deliveries", "--json", "--endpoint", str(endpoint.id)])
    assert listed.output.count('"given_up"') == 1
    again = CliRunner().invoke(app, ["notices", "replay", "1"])
    assert "1 delivery is on the way again." in again.output
    shown = CliRunner().invoke(app, ["notices", "endpoints"])
    assert endpoint.secret not in shown.output
