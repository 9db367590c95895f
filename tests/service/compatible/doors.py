"""Requests to the compatible doors, and what is stored after them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
from sqlalchemy.orm import Session

from core.database import make_engine
from core.usage.counts.rollup import roll_up
from tests.door import Door
from tests.trade import Trade, flat

Stored = dict[tuple[str, str], int]  # (licensee, event id) to images


def stored(url: str) -> Stored:
    """Every event in the database."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT slug, event_id, image_count FROM usage_events JOIN licensees ON licensees.id = licensee_id"
        ).fetchall()
    return {(licensee, event_id): count for licensee, event_id, count in rows}


def traces(url: str) -> tuple[int, int]:
    """How many reports and how many events there are."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT (SELECT count(*) FROM usage_reports), count(*) FROM usage_events").fetchone()
    assert row is not None
    return row


def roll_up_now(url: str) -> None:
    """Counts what has been reported."""
    with _session(url) as session:
        roll_up(session)


def register(url: str, model: str) -> None:
    """Registers a model of which nobody has an agreement."""
    with _session(url) as session:
        Trade.of(session, "guild").model(model)


def sign(url: str, model: str, **fee: Any) -> None:
    """Signs an agreement between north and the licensor about one model."""
    today = datetime.now(UTC).date()
    term = {"starts_on": today - timedelta(days=40), "ends_on": today + timedelta(days=40)}
    with _session(url) as session:
        Trade.of(session, "guild").agreement(f"{model}-deal", fees=[flat(model, "0.02", **fee)], **term)


@contextmanager
def _session(url: str) -> Iterator[Session]:
    engine = make_engine(url)
    with Session(engine) as session:
        yield session
        session.commit()
    engine.dispose()


def licence(
    door: Door, body: Any = None, model: str = "sd-1", licensee: str = "north", **headers: str
) -> httpx.Response:
    """A report to the licence API; bytes as they are, None for no body at all."""
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    sent = {"x-key": door.keys[licensee], "Content-Type": "application/json", **_named(headers)}
    return door.client.post(f"/v1/licenses/models/{model}/usage", content=content, headers=sent)


def cloud_event(id_: str = "1", licensee: str = "north", data: Any = None, **attributes: Any) -> dict[str, Any]:
    """A good CloudEvent, with whatever attributes a test cares about."""
    return {
        "id": id_,
        "source": "gpu-7",
        "specversion": "1.0",
        "type": "image.generated",
        "subject": licensee,
        "data": {"model": "sd-1"} if data is None else data,
        **attributes,
    }


def cloud(door: Door, body: Any, licensee: str = "north", kind: str = "", **headers: str) -> httpx.Response:
    """CloudEvents: bytes as they are; a list as a batch, anything else as one event, unless a media type is given."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = kind or f"application/cloudevents{'-batch' if isinstance(body, list) else ''}+json"
    sent = {"Authorization": f"Bearer {door.keys[licensee]}", "Content-Type": kind, **_named(headers)}
    return door.client.post("/api/v1/events", content=content, headers=sent)


def meter_form(value: str = "1", licensee: str = "north", **fields: str) -> dict[str, str]:
    """A good meter event's form."""
    return {
        "event_name": "sd-1",
        "payload[stripe_customer_id]": licensee,
        "payload[value]": value,
        **fields,
    }


def meter(
    door: Door, form: Mapping[str, str] | Sequence[tuple[str, str]] | bytes, licensee: str = "north", **headers: str
) -> httpx.Response:
    """A meter event: bytes as they are, anything else form encoded."""
    content = form if isinstance(form, bytes) else str(httpx.QueryParams(form)).encode()
    sent = {
        "Authorization": f"Bearer {door.keys[licensee]}",
        "Content-Type": "application/x-www-form-urlencoded",
        **_named(headers),
    }
    return door.client.post("/v1/billing/meter_events", content=content, headers=sent)


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
