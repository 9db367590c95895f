"""The usage-report route in the OpenAPI document.

The route is bare ASGI, so FastAPI knows nothing of it; its schema is taken from the very types that decode and encode
it, so it cannot say anything else than they do.
"""

from typing import Any

import msgspec
from fastapi import FastAPI

from core.usage.intake.receipt import HOLDS, STATUSES, Answer
from core.usage.intake.report import Body
from service.compatible import described
from service.openapi_examples import BODIES
from service.problems import MEDIA_TYPE, SCHEMA

DESCRIPTION = """Counts images. Answered only after the whole report is committed and flushed.

The sender makes `report_id` and each `event_id` and keeps them: the same report again is answered with its first
receipt and the header `Perimage-Replayed: true`, and an event is counted at most once for its id, for ever. Repeat
whatever was not answered, byte for byte. At most 1,000 events and, by default, 1 MiB.

Number the reports of a `source` with `sequence`, one after another, and `/v1/usage/gaps` shows which never arrived.
Keep the receipt: its body and the header `Perimage-Signature` prove what was received, of which body (`body_sha256`).

Each event has a result of its own, in the order they were sent: `accepted`; `duplicate` (the same was reported
before); `held` (kept, and counted once the model is registered or the agreement signed); `conflict` (this `event_id`
was reported before with other content, which stands); `rejected` (the event is wrong; the message says what to
change; or, with the code `hard_cap_reached`, the agreement's cap of the month is used up).

`output` says what was made: an `image` (also when it is left out), a `preview`, an `upscale`, a `rejected` image, or a
`video_frame`. Report all of it; the agreement says what is billed. A model or adapter may be named by slug, alias or
AIR; an AIR that is not registered counts for the base model of its ecosystem and is listed under `/v1/usage/held`."""
REPORT = {
    "report_id": "host-7/2026-11-22T09:15",
    "source": "host-7",
    "sequence": 4711,
    "events": [
        {
            "event_id": "9a1f6c1e-8f5e-4a0e-9d0a-6d1f4d9d7c11",
            "model": "anima",
            "image_count": 184,
            "occurred_at": "2026-11-22T09:14:59Z",
            "plan": "free",
        },
        {
            "event_id": "5b0c7a52-3f0a-4bb9-8b43-0d2f6f8e2a90",
            "model": "urn:air:sd3:checkpoint:civitai:123@456",
            "adapters": ["film-grain"],
            "image_count": 2,
            "occurred_at": "2026-11-22T10:14:30.250+01:00",
            "output": "preview",
        },
    ],
}
RECEIPT = {
    "report_id": REPORT["report_id"],
    "received_at": "2026-11-22T09:15:01.482113Z",
    "body_sha256": "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865",
    "counts": {"accepted": 1, "duplicate": 0, "held": 1, "conflict": 0, "rejected": 0},
    "image_count": 186,
    "results": [
        {"event_id": "9a1f6c1e-8f5e-4a0e-9d0a-6d1f4d9d7c11", "status": "accepted"},
        {
            "event_id": "5b0c7a52-3f0a-4bb9-8b43-0d2f6f8e2a90",
            "status": "held",
            "code": "unknown_model",
            "message": HOLDS["unknown_model"],
        },
    ],
}
PROBLEMS = {
    "400": "The body is not JSON.",
    "401": "No live meter key.",
    "403": "`hard_cap_reached`: every event of the report was turned away by a used-up cap. The report is kept.",
    "409": "`report_id_reused`: the report_id was used for another body.",
    "413": "The body is too large.",
    "415": "Not application/json, or compressed.",
    "422": "The report as a whole is wrong: its id, source, sequence, or the number of its events.",
    "429": "Too many requests with this key. Wait for Retry-After.",
    "503": "Not now: too much is waiting, or the database is away. Nothing is lost; repeat after Retry-After.",
}
# What every route of a meter key may answer, whatever it is about; the statuses of one with a body, and of one thing.
USUAL = {
    "401": PROBLEMS["401"],
    "422": "Something in the request is wrong; the sentence says what to change.",
    "429": PROBLEMS["429"],
    "503": "Not now; repeat after Retry-After.",
}
WITH_BODY = {"400": PROBLEMS["400"], "409": "It contradicts what stands; the sentence says what to do instead."}
OF_ONE = {"404": "There is no such thing, or it is another licensee's."}
FILES = {"application/pdf": {"type": "string", "format": "binary"}, "text/csv": {"type": "string"},
         "application/xml": {"type": "string"}, "application/json": {"type": "object"}}  # fmt: skip
NAMES = {
    "Body": "UsageReport",
    "Event": "UsageEvent",
    "Answer": "Receipt",
    "Result": "EventResult",
    "Counts": "EventCounts",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the application, made once."""
    if app.openapi_schema is None:
        document = _framework_openapi(app)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(_schemas())
        for response in ("HTTPValidationError", "ValidationError"):
            schemas.pop(response, None)
        for path in document["paths"].values():
            for operation in path.values():
                if "HTTPValidationError" in str(operation["responses"].get("422")):  # the framework's; ours stay
                    operation["responses"]["422"] = _problem("A parameter is wrong.")
        for name, body in BODIES.items():
            schemas[name].setdefault("examples", [body])
        document["components"].setdefault("securitySchemes", {}).update(described.SECURITY_SCHEMES)
        ours = {"/v1/usage-reports": {"post": _operation()}}
        document["paths"] = {**ours, **document["paths"]}
        _add_refusals(document)
        document["paths"] |= described.paths()
        _add_shapes(document)
        app.openapi_schema = document
    return app.openapi_schema


def _add_refusals(document: dict[str, Any]) -> None:
    """What is so for whole kinds of routes of a meter key, and that the framework knows nothing of."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if operation.get("security") == [{"meterKey": []}]:
                acts, of_one = "requestBody" in operation, "{" in path
                for status, said in {**USUAL, **(WITH_BODY if acts else {}), **(OF_ONE if of_one else {})}.items():
                    operation["responses"].setdefault(status, _problem(said))


def _add_shapes(document: dict[str, Any]) -> None:
    """The shapes of answers that are files, or that another protocol describes."""
    for methods in document["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                for media_type, content in response.get("content", {}).items():
                    if not content.get("schema"):
                        content["schema"] = FILES[media_type]


def _framework_openapi(app: FastAPI) -> dict[str, Any]:
    return FastAPI.openapi(app)


def _schemas() -> dict[str, Any]:
    """The shapes of request and receipt under public names, and that of a problem."""
    _, found = msgspec.json.schema_components([Body, Answer], ref_template="#/components/schemas/{name}")
    text = msgspec.json.encode({NAMES[name]: schema for name, schema in found.items()}).decode()
    for ours, public in NAMES.items():
        text = text.replace(f'"#/components/schemas/{ours}"', f'"#/components/schemas/{public}"')
    schemas: dict[str, Any] = msgspec.json.decode(text)
    for name, schema in schemas.items():
        schema["title"] = name
        schema.get("properties", {}).get("adapters", {}).pop("default", None)
    schemas["EventResult"]["properties"]["status"] = {"type": "string", "enum": list(STATUSES)}
    schemas["UsageReport"]["examples"] = [REPORT]
    schemas["Receipt"]["examples"] = [RECEIPT]
    return {**schemas, "Problem": SCHEMA}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _operation() -> dict[str, Any]:
    def json_of(name: str, example: Any) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}, "example": example}}

    replayed = {
        "description": "true when this receipt was given before.",
        "schema": {"type": "string", "enum": ["true"]},
    }
    signature = {
        "description": 'keyid="<hex>", ed25519=:<base64>: over the exact bytes of this body; /.well-known/perimage-keys'
        ".json has the public keys. Absent where the installation has no signing key.",
        "schema": {"type": "string"},
    }
    return {
        "tags": ["usage"],
        "operationId": "report_usage",
        "summary": "Report images",
        "description": DESCRIPTION,
        "security": [{"meterKey": []}],
        "requestBody": {"required": True, "content": json_of("UsageReport", REPORT)},
        "responses": {
            "200": {
                "description": "Committed. One result for each event.",
                "headers": {"Perimage-Replayed": replayed, "Perimage-Signature": signature},
                "content": json_of("Receipt", RECEIPT),
            },
            **{status: _problem(description) for status, description in PROBLEMS.items()},
        },
    }
