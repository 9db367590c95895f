"""The OpenAPI document of the finance API: good enough for a client that knows nothing else."""

import re
from collections.abc import Iterator
from typing import Any

from tests.service.finance.house import Finance
from tests.service.finance.test_leaks import filled, operations

TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None),
}  # fmt: skip


def faults(value: Any, schema: dict[str, Any], document: dict[str, Any], at: str) -> list[str]:
    """What of a value is not as its schema says: references, alternatives, types, enums, required and other members."""
    if "$ref" in schema:
        return faults(value, document["components"]["schemas"][schema["$ref"].split("/")[-1]], document, at)
    if "anyOf" in schema:
        tried = [faults(value, each, document, at) for each in schema["anyOf"]]
        return min(tried, key=len)
    found: list[str] = []
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        return [f"{at}: {value!r} is no {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: {value!r} is none of {schema['enum']}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{at}: {value!r} is not like {schema['pattern']}")
    if kind == "array":
        for place, each in enumerate(value):
            found += faults(each, schema["items"], document, f"{at}[{place}]")
    if kind == "object":
        members = schema.get("properties", {})
        found += [f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value]
        if schema.get("additionalProperties") is not True:
            found += [f"{at}: {name} is not described" for name in value.keys() - members.keys()]
        for name in members.keys() & value.keys():
            found += faults(value[name], members[name], document, f"{at}.{name}")
    return found


def test_a_generic_client_walks_every_read_and_gets_what_the_document_says(finance: Finance) -> None:
    document = finance.door.client.get("/openapi.json").json()
    wrong, walked = [], 0
    for path, method, operation in operations(document):
        if method != "get":
            continue
        params = {
            each["name"]: finance.names().get(each["name"]) or each["schema"]["examples"][0]
            for each in operation.get("parameters", [])
            if each["required"] and each["in"] == "query"
        }
        answer = finance.get(filled(path, finance.names()), "admin", **params)
        [kind] = [kind for kind in operation["responses"]["200"]["content"] if kind in answer.headers["content-type"]]
        if kind == "application/json":
            schema = operation["responses"]["200"]["content"][kind]["schema"]
            assert schema.get("$ref"), operation["operationId"]
            wrong += faults(answer.json(), schema, document, operation["operationId"])
            walked += 1
    assert wrong == []
    assert walked >= 24
    invoice = document["components"]["schemas"]["FinanceInvoice"]
    example = {"corrects": None, **invoice["examples"][0]}  # a document leaves out what is null
    assert faults(example, invoice, document, "example") == []
    assert len(faults({**example, "standing": "odd", "left": 1, "more": 2}, invoice, document, "")) == 3


def test_every_operation_has_a_name_a_summary_a_typed_answer_and_its_problems(finance: Finance) -> None:
    document = finance.door.client.get("/openapi.json").json()
    everything = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(everything) == len(set(everything))
    for path, method, operation in operations(document):
        name, responses = operation["operationId"], operation["responses"]
        assert re.fullmatch(r"finance_[a-z]+(_[a-z]+)*", name) and operation["summary"], name
        assert operation["security"] == [{"financeKey": []}], name
        problems = {"401", "403", "422", "429", "503"} | ({"400", "409", "413", "415"} if method == "post" else set())
        assert problems | ({"404"} if "{" in path else set()) <= responses.keys(), name
        for status, response in responses.items():
            if status >= "400":
                assert response["content"].keys() == {"application/problem+json"} and len(response["description"]) > 10
        if method == "post":
            success = next(responses[status] for status in ("200", "201", "202") if status in responses)
            assert success["content"]["application/json"]["schema"].get("$ref"), name
            assert any(each["name"].lower() == "idempotency-key" for each in operation["parameters"]), name
    assert "what to change" in document["paths"]["/v1/finance/invoices"]["get"]["responses"]["422"]["description"]


def test_every_operation_of_the_house_can_be_generated_from(finance: Finance) -> None:
    """Beyond finance: a summary, a shape for every answer, refusals, and a body that its own schema takes."""
    document = finance.door.client.get("/openapi.json").json()
    wrong = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name, responses = operation["operationId"], operation["responses"]
            wrong += [f"{name}: no summary"] if not operation.get("summary") else []
            if operation.get("security") == [{"meterKey": []}] and "/api/" not in path:  # other doors: other forms
                usual = {"401", "422", "429", "503"} | ({"404"} if "{" in path else set())
                wrong += [f"{name}: {status} is not said" for status in usual - responses.keys()]
            for status, response in responses.items():
                contents = response.get("content", {}).items()
                wrong += [f"{name}: {status} {kind} has no shape" for kind, said in contents if not said.get("schema")]
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            named = next((each for each in (schema, *schema.get("anyOf", ())) if "$ref" in each), None)
            if method == "post" and named and path.startswith("/v1/"):
                shape = document["components"]["schemas"][named["$ref"].split("/")[-1]]
                example = (shape.get("examples") or [example_of(operation)])[0]
                wrong += [f"{name}: no example"] if example is None else faults(example, shape, document, name)
    # What generators stumble over: two shapes of one name, and lists of nobody knows what.
    wrong += [name for name in document["components"]["schemas"] if "__" in name]
    wrong += lists_of_anything(document["paths"])
    wrong += lists_of_anything(document["components"])
    assert wrong == []


def lists_of_anything(node: Any, at: str = "") -> Iterator[str]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    if isinstance(node, dict) and node.get("type") == "array" and not node.keys() & {"items", "prefixItems"}:
        yield at
    for key, value in inner:
        yield from lists_of_anything(value, f"{at}/{key}")


def example_of(operation: dict[str, Any]) -> Any:
    said = operation["requestBody"]["content"]["application/json"]
    return said.get("example") or next((each["value"] for each in said.get("examples", {}).values()), None)
