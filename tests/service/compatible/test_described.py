"""The doors in the OpenAPI document: all of them, as they are."""

import re

import pytest

from service.compatible import ROUTES
from service.compatible.cloudevents import KINDS
from service.compatible.licence_api import FIELDS, RECORDED
from service.compatible.stripe_meter import PARAMETERS
from tests.door import Door


@pytest.fixture
def document(door: Door) -> dict:
    response = door.client.get("/openapi.json")
    assert response.status_code == 200
    found: dict = response.json()
    return found


def test_every_door_is_described_with_its_keys_its_body_and_its_refusals(document: dict):
    described = {
        path: operations["post"]
        for path, operations in document["paths"].items()
        if operations.get("post", {}).get("tags") == ["compatible doors"]
    }
    assert sorted(described) == sorted(route.path.replace(":path", "") for route in ROUTES)
    schemes = document["components"]["securitySchemes"]
    for path, operation in described.items():
        assert operation["security"] and all(name in schemes for each in operation["security"] for name in each)
        assert {"403", "413", "415", "429", "500", "503"} < set(operation["responses"])
        parameters = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        assert parameters == set(re.findall(r"{(\w+)}", path))


def test_what_is_described_is_what_is_taken(document: dict):
    def content(path: str) -> dict:
        found: dict = document["paths"][path]["post"]["requestBody"]["content"]
        return found

    licence = content("/v1/licenses/models/{model}/usage")
    assert set(licence["application/json"]["schema"]["properties"]) == set(FIELDS)
    assert set(content("/api/v1/events")) == {kind.decode() for kind in KINDS}
    form = content("/v1/billing/meter_events")["application/x-www-form-urlencoded"]["schema"]
    assert set(form["properties"]) == set(PARAMETERS) and form["additionalProperties"] is False
    answer = document["paths"]["/v1/licenses/models/{model}/usage"]["post"]["responses"]["200"]
    assert answer["content"]["application/json"]["example"] == RECORDED
    assert "/v1/usage/possible-duplicates" in document["paths"]
