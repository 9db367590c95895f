"""Stripe's door: who is let in, what names a fact, and the error object in every refusal."""

import base64
from datetime import UTC, datetime

import httpx

from tests.door import Door
from tests.service.compatible.doors import meter, meter_form, stored, traces


def refused(response: httpx.Response, status: int, code: str, kind: str = "invalid_request_error") -> dict:
    """The error object: its type, code, sentence and parameter."""
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    error: dict = response.json()["error"]
    assert (error["type"], error["code"]) == (kind, code), error
    assert set(error) == {"type", "code", "message", "param"} and len(error["message"]) > 10
    return error


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_the_key_is_a_bearer_or_a_user_name_without_password(door: Door, database_url: str):
    key = door.keys["north"]
    for n, value in enumerate([f"Bearer {key}", f"bearer {key}", basic(f"{key}:"), basic(key)]):
        assert meter(door, meter_form(identifier=str(n)), Authorization=value).status_code == 200
    plain = b"event_name=sd-1&payload[stripe_customer_id]=north&payload[value]=1&identifier=as+curl+sends+it"
    assert meter(door, plain, Authorization=basic(f"{key}:")).json()["identifier"] == "as curl sends it"
    before = traces(database_url)
    for value in ("", "Bearer", basic(f"{key}:secret"), basic(f":{key}"), "Basic !!", "Basic w6k=", f"Token {key}",
                  basic("sk_live_x:")):  # fmt: skip
        response = meter(door, meter_form(), Authorization=value)
        refused(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert traces(database_url) == before


def test_an_identifier_goes_before_the_key_of_the_request(door: Door, database_url: str):
    for identifier, key in [("a", ""), ("a", "k"), ("a", "l"), ("b", "k"), ("", "a"), ("", "a")]:
        form = meter_form(**({"identifier": identifier} if identifier else {}))
        assert meter(door, form, **({"Idempotency_Key": key} if key else {})).status_code == 200
    assert stored(database_url) == {("north", "stripe:a"): 1, ("north", "stripe:b"): 1, ("north", "stripe-key:a"): 1}
    error = refused(meter(door, meter_form("2", identifier="a")), 400, "event_id_reused", "idempotency_error")
    assert error["param"] == "identifier" and "image_count" in error["message"]
    assert meter(door, meter_form(licensee="south", identifier="a"), "south").status_code == 200
    assert stored(database_url)["south", "stripe:a"] == 1


def test_without_identifier_and_key_each_request_counts_and_repeats_are_flagged(door: Door, database_url: str):
    names = {meter(door, meter_form("3")).json()["identifier"] for _ in range(2)}
    assert {event_id for _, event_id in stored(database_url)} == {f"unkeyed:{name}" for name in names}
    (found,) = door.get("/v1/usage/possible-duplicates").json()["possible_duplicates"]
    assert (found["image_count"], found["event_count"]) == (3, 2)


def test_a_form_says_each_thing_once_and_nothing_else(door: Door, database_url: str):
    pairs = list(meter_form(identifier="a").items())
    for more in (("payload[value]", "2"), ("payload[value]", "1"), ("event_name", "sd-1"), ("identifier", "b")):
        refused(meter(door, [*pairs, more]), 400, "duplicate_field")
    for name in (
        "payload[plan]",
        "payload",
        "payload[value][]",
        "expand[0]",
        "Identifier",
        "",
        "payload[value",
        "\u202e",
    ):
        refused(meter(door, [*pairs, (name, "x")]), 400, "parameter_unknown")
    for missing in ("event_name", "payload[stripe_customer_id]", "payload[value]"):
        error = refused(meter(door, [pair for pair in pairs if pair[0] != missing]), 400, "parameter_missing")
        assert error["param"] == missing
    assert traces(database_url) == (0, 0)


def test_a_customer_is_the_licensee_whose_key_it_is(door: Door, database_url: str):
    for customer in ("south", "cus_123", "", "North", "north "):
        error = refused(meter(door, meter_form(licensee=customer)), 400, "meter_event_customer_not_found")
        assert error["param"] == "payload[stripe_customer_id]" and "south" not in error["message"]
    assert traces(database_url) == (0, 0)


def test_an_unknown_model_is_no_meter_and_an_unlicensed_one_is_held(door: Door, database_url: str):
    assert refused(meter(door, meter_form(event_name="nobody")), 400, "no_meter")["param"] == "event_name"
    assert meter(door, meter_form(event_name="unagreed", identifier="a")).status_code == 200
    assert stored(database_url) == {("north", "stripe:a"): 1}


def test_a_timestamp_is_whole_seconds(door: Door, database_url: str):
    for timestamp in ("", "x", "-1", "1.5", "1e9", "+1", " 1", "01", "１", "9" * 5000, "NaN", "true"):
        refused(meter(door, meter_form(timestamp=timestamp)), 400, "parameter_invalid_integer")
    assert traces(database_url) == (0, 0)


def test_a_timestamp_is_within_35_days_back_and_5_minutes_ahead(door: Door, database_url: str):
    now = int(datetime.now(UTC).timestamp())
    for at, ok in ((now - 35 * 86400 + 60, True), (now - 35 * 86400 - 60, False), (now + 240, True), (now + 360, False),
                   (0, False), (now * 1000, False), (10**17, False), (10**17 * 9, False)):  # fmt: skip
        response = meter(door, meter_form(timestamp=str(at), identifier=str(at)))
        if ok:
            assert response.json()["timestamp"] == at
        else:
            code = "timestamp_in_future" if at > now else "timestamp_too_far_in_past"
            assert refused(response, 400, code)["message"].startswith("timestamp")
    assert len(stored(database_url)) == 2
