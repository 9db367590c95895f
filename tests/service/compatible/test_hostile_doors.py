"""The hostile list of PROMISES.md at every compatible door: a 4xx with a sentence, in its own form; nothing stored."""

import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from core.errors import Unavailable
from service.caller import Callers
from service.intake_queue import IntakeQueue
from service.limits import RateLimit
from tests.door import Door
from tests.service.compatible.doors import cloud, cloud_event, licence, meter, meter_form, stored, traces
from tests.service.test_hostile_input import NUMBERS, STRINGS, TIMES

DEEP = b"[" * 100_000
BODIES = {
    "depth": DEEP,
    "depth, closed": DEEP + b"]" * 100_000,
    "depth in a field": b'{"data":' * 20_000 + b"1" + b"}" * 20_000,
    "truncated": b'{"number_of_generations": 1',
    "not JSON": b"number_of_generations=1",
    "binary": bytes(range(256)),
    "not UTF-8": b'{"external_id": "\xff"}',
    "UTF-16": json.dumps(cloud_event()).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "two values": b"{} {}",
    "a number": b"1",
    "null": b"null",
    "text": b'"x"',
    "10 MiB": b" " * (10 << 20),
    "long numbers": b'{"number_of_generations": ' + b"9" * 5000 + b"}",
}
BOTH_ZONES = ["2026-11-22T09:15:01", "2026-11-22 09:15", "1795345200", "1795345200000"]


def object_with(fields: Mapping[str, Any], name: str, literal: str) -> bytes:
    """A JSON object in which one field is this literal."""
    told = {**{key: json.dumps(value) for key, value in fields.items()}, name: literal}
    return ("{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in told.items()) + "}").encode()


def licence_bodies() -> Iterator[bytes]:
    yield from (object_with({}, "number_of_generations", number) for number in NUMBERS)
    for literal in STRINGS:
        yield object_with({}, "external_id", literal)
        yield object_with({}, "derivatives", f"[{literal}]")
    yield from (object_with({}, "occurred_at", json.dumps(time)) for time in [*TIMES, *BOTH_ZONES])
    yield from (object_with({}, "occurred_at", literal) for literal in ("1795345200", "null", "[]", "true"))
    yield from (object_with({}, "derivatives", literal) for literal in ('"a"', "{}", json.dumps(["a"] * 33), "1"))
    yield from (
        b'{"number_of_generations":1,"number_of_generations":1}',
        b'{"external_id":"a","external\\u005fid":"b"}',
        b'{"licensee":"south"}',
        b'{"":1}',
        b'{"number_of_generation":2}',
    )
    yield b"[]"


def cloud_events() -> Iterator[bytes]:
    good = cloud_event("hostile")
    for number in NUMBERS:
        if number != '"12"':  # clients of this protocol write numbers as text
            yield object_with(good, "data", f'{{"model":"sd-1","count":{number}}}')
    for literal in [
        '"+1"',
        '" 1"',
        '"1 "',
        '"1e3"',
        '"01"',
        '"1.0"',
        '""',
        '"0"',
        '"１"',
        '"١"',
        '"1\\n"',
        '"10000000000"',
    ]:
        yield object_with(good, "data", f'{{"model":"sd-1","count":{literal}}}')
    for literal in STRINGS:
        if len(literal) != 258:  # 256 characters, which an id may have here
            yield from (object_with(good, name, literal) for name in ("id", "source"))
        yield object_with(good, "subject", literal)
        for field, value in {"plan": literal, "adapters": f"[{literal}]", "output": literal}.items():
            yield object_with(good, "data", f'{{"model":"sd-1","{field}":{value}}}')
        yield object_with(good, "data", f'{{"model":{literal}}}')
    yield from (object_with(good, "time", json.dumps(time)) for time in [*TIMES, *BOTH_ZONES])
    for name, literals in {
        "time": ["1795345200", "[]", "true"], "specversion": ['"0.3"', "1.0", "null"], "type": ["null", '"x"', "[]"],
        "data": ["null", "[]", '"x"', "{}", '{"model":null}', '{"model":"sd-1","count":2,"count":2}',
                 '{"model":"sd-1","image_count":2}', '{"model":"sd-1","plan":null}', '{"model":"sd-1","adapters":{}}'],
        "datacontenttype": ['"text/plain"', "[]"], "dataschema": ["1", '""'], "traceparent": ["{}", "[]"],
        "sampledrate": ["2"], "licensee": ['"south"'], "data_base64": ['"e30="'], "": ["1"], "tme": ['"x"'],
    }.items():  # fmt: skip
        yield from (object_with(good, name, literal) for literal in literals)
    yield from (object_with({k: v for k, v in good.items() if k != name}, "data", '{"model":"sd-1"}')
                for name in ("id", "source", "specversion", "type", "subject"))  # fmt: skip
    whole = json.dumps(good)
    yield from (f"{whole[:-1]},{again}}}".encode() for again in ('"id":"b"', '"id":"hostile"', '"\\u0069d":"b"'))
    yield from (b"{}", b"[]", b"[[]]", b"[1]", b"[null]", b"[{}]")


def meter_forms() -> Iterator[dict[str, str]]:
    yield from (meter_form(number) for number in NUMBERS)
    yield from (meter_form(text) for text in ("", "+1", " 1", "1 ", "01", "1\n", "１", "١", "1,000", "0x1", "1" * 6000))
    for literal in STRINGS:
        try:
            text = json.loads(literal, strict=False)
            str(text).encode()
        except ValueError:  # half a character cannot be form encoded
            continue
        if isinstance(text, str):
            yield meter_form(event_name=text)
            yield meter_form(identifier=text)
            yield meter_form(licensee=text)


RAW_FORMS = [b"", b"&", b"event_name", b"event_name=sd-1&", b"=", b"a=1&" * 2000, b"\xff=1", b"event_name=%FF",
             b"event_name=%ED%A0%80", b'{"event_name":"sd-1"}', bytes(range(256)), b" " * (10 << 20)]  # fmt: skip


def fair(response: httpx.Response) -> bool:
    """A refusal that says what to change, in the form of its door."""
    if not 400 <= response.status_code < 500:
        return False
    told = response.json()
    if list(told) == ["detail"]:
        return len(told["detail"]) > 10
    if list(told) == ["error"]:
        return bool(told["error"]["code"]) and len(told["error"]["message"]) > 10
    return bool(told["code"]) and len(told["detail"]) > 10 and told["status"] == response.status_code


def all_refused(url: str, responses: Iterator[tuple[Any, httpx.Response]], at_least: int) -> None:
    unfair, asked = [], 0
    for sent, response in responses:
        asked += 1
        if not fair(response):
            unfair.append((str(sent)[:120], response.status_code, response.text[:300]))
    assert unfair == []
    assert traces(url) == (0, 0)
    assert asked >= at_least


def test_the_licence_api_refuses_whatever_is_not_plain(door: Door, database_url: str):
    all_refused(database_url, ((body, licence(door, body)) for body in licence_bodies()), 75)
    all_refused(database_url, ((name, licence(door, body)) for name, body in BODIES.items()), len(BODIES))
    keys = ["", "x" * 256, "a\tb", "\u00e9", "a  b"]
    all_refused(database_url, ((key, licence(door, {}, Idempotency_Key=key.encode("latin-1"))) for key in keys), 5)
    assert licence(door, {"external_id": "fine"}).status_code == 200


def test_cloudevents_refuse_whatever_is_not_plain_alone_and_in_a_batch(door: Door, database_url: str):
    innocent = json.dumps(cloud_event("innocent")).encode()
    batch = "application/cloudevents-batch+json"
    all_refused(database_url, ((event, cloud(door, event)) for event in cloud_events()), 150)
    all_refused(
        database_url,
        ((event, cloud(door, b"[%s,%s]" % (innocent, event), kind=batch)) for event in cloud_events()),
        150,
    )
    all_refused(database_url, ((name, cloud(door, body)) for name, body in BODIES.items()), len(BODIES))
    all_refused(
        database_url, ((name, cloud(door, body, kind="application/json")) for name, body in BODIES.items()), len(BODIES)
    )
    assert cloud(door, innocent).status_code == 204


def test_meter_events_refuse_whatever_is_not_plain(door: Door, database_url: str):
    all_refused(database_url, ((form, meter(door, form)) for form in meter_forms()), 60)
    all_refused(database_url, ((form[:60], meter(door, form)) for form in RAW_FORMS), len(RAW_FORMS))
    assert meter(door, meter_form()).status_code == 200


def test_wrong_media_types_compressed_bodies_and_headers_given_twice_are_refused(door: Door, database_url: str):
    kind = {"Content-Type": "text/plain"}
    squeezed = {"Content-Encoding": "gzip"}
    bomb = gzip.compress(b" " * (50 << 20))
    responses = [
        ("text", licence(door, {}, **kind)),
        ("text", meter(door, meter_form(), **kind)),
        ("gzip", licence(door, bomb, **squeezed)),
        ("gzip", cloud(door, bomb, **squeezed)),
        ("gzip", meter(door, bomb, **squeezed)),
    ]
    twice = [("x-key", door.keys["north"]), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    path = "/v1/licenses/models/sd-1/usage"
    responses.append(("two keys of the request", door.client.post(path, headers=twice)))
    two_callers = [("x-key", door.keys["north"]), ("x-key", door.keys["south"])]
    responses.append(("two callers", door.client.post(path, headers=two_callers)))
    all_refused(database_url, iter(responses), 7)
    assert {response.status_code for name, response in responses if name in ("text", "gzip")} == {415}


def test_text_that_is_only_strange_is_kept_letter_for_letter(door: Door, database_url: str):
    strange = ["=HYPERLINK(1)", "<script>alert(1)</script>", "' OR 1=1 --", "../../etc/passwd", "é", "e\u0301", "\\N",
               "%00", '"', "名前", "\U0001f600", "a&b=c;d"]  # fmt: skip
    for text in strange:
        assert licence(door, {"external_id": text}).status_code == 200, text
        assert meter(door, meter_form(identifier=text)).json()["identifier"] == text
        assert cloud(door, cloud_event(text, data={"model": text, "plan": text})).status_code == 204
    found = stored(database_url)
    assert {("north", f"{kind}:{text}") for kind in ("licence", "stripe") for text in strange} <= found.keys()
    assert len(found) == 3 * len(strange)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT model, plan FROM usage_events WHERE event_id LIKE 'cloudevents:%'").fetchall()
    assert sorted(rows) == sorted((text, text) for text in strange)


def every_door(door: Door) -> dict[str, httpx.Response]:
    return {"licence": licence(door), "cloud": cloud(door, cloud_event()), "meter": meter(door, meter_form("7"))}


def test_not_now_is_said_by_every_door_in_its_own_form(door: Door, database_url: str, monkeypatch: pytest.MonkeyPatch):
    def away(*_: Any, **__: Any) -> None:
        raise Unavailable("busy", "more is coming in than can be written", retry_after=3)

    def too_often(*_: Any) -> None:
        raise Unavailable("rate_limited", "this meter key sends too many requests", retry_after=2)

    def lost(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a secret")

    for place, name, fails, status, wait, kind in [
        (IntakeQueue, "submit", away, 503, "3", "api_error"),
        (RateLimit, "take", too_often, 429, "2", "rate_limit_error"),
        (Callers, "find", lost, 503, "1", "api_error"),
        (IntakeQueue, "submit", broken, 500, None, "api_error"),
    ]:
        with monkeypatch.context() as patched:
            patched.setattr(place, name, fails)
            answers = every_door(door)
        for response in answers.values():
            assert (response.status_code, response.headers.get("retry-after")) == (status, wait)
            assert "secret" not in response.text and "gone" not in response.text
        assert list(answers["licence"].json()) == ["detail"]
        assert answers["meter"].json()["error"]["type"] == kind
        assert answers["meter"].headers.get("stripe-should-retry") == ("true" if status == 429 else None)
        assert answers["cloud"].headers["content-type"] == "application/problem+json"
        assert answers["cloud"].json()["status"] == status
    assert traces(database_url) == (0, 0)
    assert [response.status_code for response in every_door(door).values()] == [200, 204, 200]
