"""`perimage run` and `perimage runs` as people type them."""

import json

import pytest
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from config import settings as our
from core.database import make_engine
from tests.trade import Trade, flat


def test_a_month_is_looked_at_asked_for_stopped_and_resumed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(our, "_chosen", {"database_url": database_url, "redis_url": ""})
    our.settings.cache_clear()
    engine = make_engine(database_url)
    with Session(engine) as session:
        trade = Trade(session)
        trade.agreement(fees=[flat("sd-1", "0.01")])
        trade.use("sd-1", 100, "2026-10-03T00:00Z")
        session.commit()
    engine.dispose()
    from service.cli import app, run  # noqa: F401

    def say(*words: str, fails: bool = False) -> str:
        done = CliRunner().invoke(app, words)
        assert (done.exit_code != 0) == fails, done.output
        return done.output

    try:
        dry = json.loads(say("run", "2026-10", "--dry-run", "--json"))
        [row] = dry["agreements"]
        assert (row["last_month"], row["this_month"], row["change"]) == ("0.00", "1.00", "1.00")
        assert "1.00" in say("run", "2026-10", "--dry-run")
        assert json.loads(say("runs", "list", "--json")) == []
        made = json.loads(say("run", "2026-10", "--issue", "--by", "anna", "--json"))
        assert (made["requested_by"], made["state"], made["agreements"]) == ("anna", "running", 1)
        assert "stopped: 0 of 1" in say("runs", "stop", str(made["id"]), "--by", "anna")
        assert "waiting" in say("runs", "show", str(made["id"]))
        assert "running: 0 of 1" in say("runs", "resume", str(made["id"]), "--by", "anna")
        assert "anna" in say("runs", "list")
        say("runs", "show", "99", fails=True)
        say("run", "2026-13", fails=True)
    finally:
        our.settings.cache_clear()
