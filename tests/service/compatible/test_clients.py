"""Clients that exist report to us: `openmeter` and `stripe` from PyPI, unchanged, and one written from its protocol.

Whatever they are told is acknowledged is added up here, and at the end the ledger holds exactly that.
"""

import asyncio
import json
import urllib.error
import urllib.request
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import openmeter
import openmeter.aio
import pytest
import stripe
from corehttp.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError
from openmeter.models import Event

from tests.door import Door, event, report
from tests.service.compatible.doors import cloud_event, roll_up_now, stored


def made(id_: str, count: int | str | None = None, **more: object) -> Event:
    data = {"model": "sd-1"} if count is None else {"model": "sd-1", "count": count}
    fields = {"source": "gpu-7", "specversion": "1.0", "type": "image.generated", "subject": "north", "data": data}
    return Event(id=id_, **{**fields, **more})


def stripe_client(door: Door, key: str) -> stripe.StripeClient:
    return stripe.StripeClient(key, base_addresses={"api": door.address}, max_network_retries=2)


def meter_event(model: str, value: str, **more: object) -> dict:
    return {"event_name": model, "payload": {"stripe_customer_id": "north", "value": value}, **more}


def track_usage_via_api(door: Door, model: str, n: int | None, key: str) -> None:
    """What a client of the licence API does: post, and take anything but 200 for a failure."""
    body = None if n is None else json.dumps({"number_of_generations": n}).encode()
    request = urllib.request.Request(  # noqa: S310 - the address of a test
        f"{door.address}/v1/licenses/models/{model}/usage",
        data=body,
        method="POST",
        headers={"x-key": key} if body is None else {"x-key": key, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        assert response.status == 200
        assert json.load(response) == {"message": "Usage recorded successfully"}


def test_openmeters_client_reports_one_event_a_batch_and_either_as_json(door: Door, database_url: str):
    with openmeter.Client(endpoint=door.address, token=door.keys["north"]) as client:
        client.events.ingest_event(made("1", 4, time=datetime.now(UTC)))
        client.events.ingest_event(made("2", "12"))
        client.events.ingest_events([made("3"), made("4", 2)])
        client.events.ingest_events_json([made("4", 2), made("5", 1)])
        client.events.ingest_events_json(made("6", 5))
        client.events.ingest_event(made("1", 4, source="gpu-8"))
    expected = {"gpu-7:1": 4, "gpu-7:2": 12, "gpu-7:3": 1, "gpu-7:4": 2, "gpu-7:5": 1, "gpu-7:6": 5, "gpu-8:1": 4}
    assert stored(database_url) == {("north", f"cloudevents:{name}"): count for name, count in expected.items()}


def test_openmeters_asynchronous_client_reports_too(door: Door, database_url: str):
    async def run() -> None:
        async with openmeter.aio.Client(endpoint=door.address, token=door.keys["north"]) as client:
            await asyncio.gather(*(client.events.ingest_event(made(str(n), n)) for n in range(1, 11)))
            await client.events.ingest_events([made(str(n), n) for n in range(1, 16)])

    asyncio.run(run())
    assert stored(database_url) == {("north", f"cloudevents:gpu-7:{n}"): n for n in range(1, 16)}


def test_openmeters_client_understands_our_refusals(door: Door, database_url: str):
    with openmeter.Client(endpoint=door.address, token=door.keys["north"]) as client:
        client.events.ingest_event(made("1", 4))
        with pytest.raises(ResourceExistsError) as conflict:
            client.events.ingest_event(made("1", 5))
        with pytest.raises(HttpResponseError) as wrong:
            client.events.ingest_events([made("2", 1), made("3", 0)])
        with pytest.raises(HttpResponseError) as foreign:
            client.events.ingest_event(made("4", subject="south"))
        assert conflict.value.status_code == 409
        assert wrong.value.status_code == 400 and "[1].data.count" in wrong.value.model.detail
        assert foreign.value.status_code == 403 and "north" in foreign.value.model.detail
    with (
        openmeter.Client(endpoint=door.address, token=door.keys["north"][:-1]) as client,
        pytest.raises(ClientAuthenticationError),
    ):
        client.events.ingest_event(made("5"))
    assert stored(database_url) == {("north", "cloudevents:gpu-7:1"): 4}


def test_stripes_client_reports_meter_events(door: Door, database_url: str):
    client = stripe_client(door, door.keys["north"])
    past = int(datetime.now(UTC).timestamp()) - 3600
    first = client.v1.billing.meter_events.create(meter_event("sd-1", "25", identifier="job-1", timestamp=past))
    assert first.object == "billing.meter_event" and first.livemode is True
    assert (first.event_name, first.identifier, first.timestamp) == ("sd-1", "job-1", past)
    assert first.payload["value"] == "25" and first.payload["stripe_customer_id"] == "north"
    assert 0 <= first.created - past - 3600 < 60
    again = client.v1.billing.meter_events.create(meter_event("sd-1", "25", identifier="job-1", timestamp=past))
    untimed = client.v1.billing.meter_events.create(meter_event("sd-1", "25", identifier="job-1"))
    assert (again.identifier, untimed.identifier) == ("job-1", "job-1")
    key = {"idempotency_key": "request-1"}
    for _ in range(2):
        assert client.v1.billing.meter_events.create(meter_event("sd-1", "3"), key).identifier == "request-1"
    alone = client.v1.billing.meter_events.create(meter_event("sd-1", "7"))
    assert uuid.UUID(alone.identifier)
    assert stored(database_url) == {
        ("north", "stripe:job-1"): 25,
        ("north", "stripe-key:request-1"): 3,
        ("north", f"stripe-key:{alone.identifier}"): 7,
    }


def test_stripes_module_level_client_reports_too(door: Door, database_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stripe, "api_base", door.address)
    monkeypatch.setattr(stripe, "api_key", door.keys["north"])
    stripe.billing.MeterEvent.create(**meter_event("sd-1", "2", identifier="a"))
    assert stored(database_url) == {("north", "stripe:a"): 2}


def test_stripes_client_understands_our_refusals(door: Door, database_url: str):
    create = stripe_client(door, door.keys["north"]).v1.billing.meter_events.create
    now = int(datetime.now(UTC).timestamp())

    def code(**form: object) -> tuple[str | None, str | None]:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            create({**meter_event("sd-1", "1"), **form})
        assert refused.value.http_status == 400 and refused.value.user_message
        return refused.value.code, refused.value.param

    customer, value = "payload[stripe_customer_id]", "payload[value]"
    assert code(event_name="nobody") == ("no_meter", "event_name")
    assert code(payload={"stripe_customer_id": "south", "value": "1"}) == ("meter_event_customer_not_found", customer)
    assert code(payload={"stripe_customer_id": "north", "value": "-1"}) == ("meter_event_invalid_value", value)
    assert code(payload={"stripe_customer_id": "north"}) == ("parameter_missing", value)
    assert code(timestamp=now - 36 * 86400) == ("timestamp_too_far_in_past", "timestamp")
    assert code(timestamp=now + 600) == ("timestamp_in_future", "timestamp")
    assert code(colour="red") == ("parameter_unknown", "colour")
    create(meter_event("sd-1", "1", identifier="a"))
    with pytest.raises(stripe.IdempotencyError):
        create(meter_event("sd-1", "2", identifier="a"))
    with pytest.raises(stripe.AuthenticationError):
        stripe_client(door, "sk_live_x").v1.billing.meter_events.create(meter_event("sd-1", "1"))
    assert stored(database_url) == {("north", "stripe:a"): 1}


def test_a_client_of_the_licence_api_reports_with_and_without_a_body(door: Door, database_url: str):
    track_usage_via_api(door, "sd-1", None, door.keys["north"])
    track_usage_via_api(door, "sd-1", 4, door.keys["north"])
    found = stored(database_url)
    assert sorted(found.values()) == [1, 4]
    assert all(licensee == "north" and event_id.startswith("unkeyed:") for licensee, event_id in found)
    for model, key, status, detail in (
        ("flux-9", door.keys["north"], 400, "Model slug flux-9 is not supported for usage reporting"),
        ("sd-1", "", 403, "send a live meter key in the header x-key"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            track_usage_via_api(door, model, 1, key)
        assert refused.value.code == status and json.load(refused.value) == {"detail": detail}
    assert stored(database_url) == found


def test_all_doors_feed_one_ledger_that_holds_what_was_acknowledged_and_nothing_else(door: Door, database_url: str):
    acknowledged: Counter[str] = Counter()
    for licensee in ("north", "south"):
        key, now = door.keys[licensee], datetime.now(UTC)
        for model in ("sd-1", "sd-1-tuned"):
            track_usage_via_api(door, model, 3, key)
            acknowledged[licensee] += 3
        with openmeter.Client(endpoint=door.address, token=key) as client:
            events = [made(str(n), n, subject=licensee, time=now - timedelta(minutes=n)) for n in range(1, 21)]
            for _ in range(2):  # the same ids at both licensees, and each batch twice
                client.events.ingest_events(events)
            acknowledged[licensee] += sum(range(1, 21))
            with pytest.raises(HttpResponseError):
                client.events.ingest_events([cloud_event("x", licensee), cloud_event("y", licensee, data={})])
        meter_events = stripe_client(door, key).v1.billing.meter_events
        for n in (5, 6, 5):  # the third is the first again
            payload = {"stripe_customer_id": licensee, "value": str(n)}
            meter_events.create({"event_name": "sd-1", "payload": payload, "identifier": f"job-{n}"})
        acknowledged[licensee] += 5 + 6
        answer = door.post(report([event("native-1", image_count=7), event("native-2", image_count=0)]), licensee)
        assert answer.json()["image_count"] == 7
        acknowledged[licensee] += 7
    sums: Counter[str] = Counter()
    for (licensee, _), count in stored(database_url).items():
        sums[licensee] += count
    assert sums == acknowledged
    roll_up_now(database_url)
    for licensee, images in acknowledged.items():
        (counted,) = door.get("/v1/usage", licensee, group_by="model").json()["usage"]
        assert (counted["model"], counted["image_count"]) == ("sd-1", images)
