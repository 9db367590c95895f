"""What the service says of itself, and that every refusal is a problem."""

from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest

from core.usage.intake.receipt import Answer
from core.usage.intake.report import OUTPUTS, Body
from tests.door import Door, event, free_port, report, serving, settings_for


@pytest.fixture
def document(door: Door) -> dict[str, Any]:
    response = door.client.get("/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_the_document_describes_the_bare_route_with_its_key_its_bounds_and_its_problems(document: dict[str, Any]):
    operation = document["paths"]["/v1/usage-reports"]["post"]
    assert operation["security"] == [{"meterKey": []}]
    assert document["components"]["securitySchemes"]["meterKey"]["scheme"] == "bearer"
    assert set(operation["responses"]) == {"200", "400", "401", "403", "409", "413", "415", "422", "429", "503"}
    assert "Perimage-Replayed" in operation["responses"]["200"]["headers"]
    schemas = document["components"]["schemas"]
    assert schemas["UsageReport"]["additionalProperties"] is False
    assert schemas["UsageReport"]["properties"]["events"]["maxItems"] == 1000
    assert schemas["UsageEvent"]["properties"]["image_count"]["maximum"] == 1_000_000_000
    assert set(schemas["UsageEvent"]["properties"]["output"]["enum"]) == set(OUTPUTS)
    assert schemas["UsageEvent"]["required"] == ["event_id", "model", "image_count", "occurred_at"]


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]):
    for reference in references(document):
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_the_examples_are_what_the_decoders_take(document: dict[str, Any]):
    operation = document["paths"]["/v1/usage-reports"]["post"]
    msgspec.convert(operation["requestBody"]["content"]["application/json"]["example"], Body)
    msgspec.convert(operation["responses"]["200"]["content"]["application/json"]["example"], Answer)


def test_every_answer_that_is_not_a_success_is_a_problem(door: Door):
    key = {"Authorization": f"Bearer {door.keys['north']}"}
    asked = {
        404: door.client.get("/nowhere"),
        405: door.client.get("/v1/usage-reports", headers=key),
        401: door.client.get("/v1/usage"),
        422: door.client.get("/v1/usage?limit=x", headers=key),
        415: door.client.post("/v1/usage-reports", headers=key),
    }
    for status, response in asked.items():
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == status and problem["title"] and problem["code"] and problem["detail"]
        assert problem["type"] == "urn:perimage:problem:" + problem["code"]
    assert asked[405].headers["allow"] == "POST"


def test_a_failure_of_ours_is_a_problem_with_an_id_and_tells_nothing(door: Door, owner_url: str):
    with psycopg.connect(owner_url) as owner:
        owner.execute("ALTER TABLE daily_counts RENAME COLUMN image_count TO secret_name")
    response = door.get("/v1/usage")
    assert response.status_code == 500
    problem = response.json()
    assert problem["code"] == "internal_error" and problem["id"] in problem["detail"]
    assert "secret_name" not in response.text and "daily_counts" not in response.text


def test_a_report_that_fails_by_our_fault_fails_alone(door: Door, owner_url: str):
    with psycopg.connect(owner_url) as owner:
        owner.execute("ALTER TABLE usage_events ADD CONSTRAINT no_seven CHECK (image_count <> 7)")
    broken = door.post(report([event("a", image_count=7)]))
    assert broken.status_code == 500 and broken.json()["code"] == "internal_error"
    assert door.post(report([event("b", image_count=8)])).json()["counts"]["accepted"] == 1


def test_a_service_is_ready_when_database_schema_writer_and_redis_are(database_url: str, redis_url: str):
    with serving(settings_for(database_url, redis_url=redis_url), {}) as door:
        ready = door.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with serving(settings_for(database_url, redis_url=nowhere), {}) as door:
        assert door.client.get("/healthz").status_code == 200
        unready = door.client.get("/readyz")
        assert unready.status_code == 503 and set(unready.json()["checks"]) == {"database", "redis", "intake"}
        assert unready.json()["detail"].startswith("redis:")


def test_a_service_on_an_old_schema_is_not_ready(empty_database_url: str, redis_url: str):
    with serving(settings_for(empty_database_url, redis_url=redis_url), {}) as door:
        assert door.client.get("/readyz").status_code == 503
