"""The compatible doors in the OpenAPI document. They are bare routes, so the framework knows nothing of them.

Their shapes are those of other systems; what is said here is what we take of them and how we answer.
"""

from typing import Any

from core.usage.intake.report import MAX_ADAPTERS, MAX_EVENTS, MAX_IMAGE_COUNT, MAX_NAME, OUTPUTS
from service.compatible import cloudevents, licence_api, stripe_meter
from service.problems import MEDIA_TYPE

TAGS = ["compatible doors"]
NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
COUNT = {"type": "integer", "minimum": 1, "maximum": MAX_IMAGE_COUNT, "default": 1}
TIME = {"type": "string", "format": "date-time", "description": "With its zone. Left out: when it is received."}
NAMES = {"type": "array", "items": NAME, "maxItems": MAX_ADAPTERS}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names the fact where the body does not: a repeat with the same key is counted once, for ever.",
    "schema": NAME,
}
SECURITY_SCHEMES = {
    "licenceApiKey": {"type": "apiKey", "in": "header", "name": "x-key", "description": "A licensee's meter key."},
    "meterKeyBasic": {
        "type": "http",
        "scheme": "basic",
        "description": "A licensee's meter key as the user name; the password is empty.",
    },
}
NOT_NOW = {
    "429": "Too many requests with this key. Wait for Retry-After.",
    "500": "Something failed on our side; the answer has an id to quote.",
    "503": "Not now. Nothing is lost; repeat after Retry-After.",
}


def paths() -> dict[str, Any]:
    """The operations of the doors, by their paths."""
    return {
        licence_api.LicenceApi.path.replace(":path", ""): {"post": _licence_api()},
        cloudevents.CloudEvents.path: {"post": _cloudevents()},
        stripe_meter.StripeMeter.path: {"post": _stripe_meter()},
    }


def _answers(success: dict[str, Any], refusals: dict[str, str], media_type: str, schema: Any) -> dict[str, Any]:
    """The responses of a door: how it says yes, and the one form in which it says no."""
    content = {media_type: {"schema": schema}}
    return {**success, **{status: {"description": said, "content": content} for status, said in refusals.items()}}


def _licence_api() -> dict[str, Any]:
    message = licence_api.RECORDED
    success = {"200": {"description": "Committed.", "content": {"application/json": {"example": message}}}}
    refusals = {
        "400": "Nobody knows the model. Nothing was stored.",
        "403": "No live key; or no agreement covers the model, and the usage is kept as unlicensed; or a hard cap is "
        "used up. `detail` says which.",
        "409": "The external_id or Idempotency-Key was used before for another content, which stands.",
        "413": "The body is too large.",
        "415": "The body is not JSON, or compressed.",
        "422": "The body is wrong; `detail` says what to change. Nothing was stored.",
        **NOT_NOW,
    }
    body = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "number_of_generations": COUNT,
            "occurred_at": TIME,
            "external_id": {**NAME, "description": "Names the fact; it goes before an Idempotency-Key."},
            "derivatives": {**NAMES, "description": "Adapters that were loaded, by slug, alias or AIR."},
        },
    }
    detail = {"type": "object", "required": ["detail"], "properties": {"detail": {"type": "string"}}}
    model = {"name": "model", "in": "path", "required": True, "description": "Slug, alias or AIR.", "schema": NAME}
    return {
        "tags": TAGS,
        "operationId": "report_licensed_usage",
        "summary": "Report generations as to a licensor's licence API",
        "description": "Counts images of one model. No body at all counts one. Without `external_id` and "
        "`Idempotency-Key` a repeat cannot be told from another image: it is counted, and listed under "
        "`/v1/usage/possible-duplicates`.",
        "security": [{"licenceApiKey": []}],
        "parameters": [model, IDEMPOTENCY_KEY],
        "requestBody": {
            "required": False,
            "content": {"application/json": {"schema": body, "example": {"number_of_generations": 4}}},
        },
        "responses": _answers(success, refusals, "application/json", detail),
    }


def _cloudevents() -> dict[str, Any]:
    event = {
        "type": "object",
        "required": [*cloudevents.REQUIRED, "data"],
        "properties": {
            "id": {"type": "string", "minLength": 1, "maxLength": cloudevents.LONGEST},
            "source": {"type": "string", "minLength": 1, "maxLength": cloudevents.LONGEST},
            "specversion": {"type": "string", "enum": ["1.0"]},
            "type": {"type": "string", "enum": [cloudevents.TYPE]},
            "subject": {**NAME, "description": "The slug of the licensee whose key it is."},
            "time": TIME,
            "datacontenttype": {"type": "string", "enum": ["application/json"]},
            "data": {
                "type": "object",
                "required": ["model"],
                "additionalProperties": False,
                "properties": {
                    "model": {**NAME, "description": "Slug, alias or AIR."},
                    "count": {"oneOf": [COUNT, {"type": "string", "pattern": "^[1-9][0-9]{0,9}$"}]},
                    "adapters": NAMES,
                    "plan": NAME,
                    "output": {"type": "string", "enum": list(OUTPUTS)},
                },
            },
        },
    }
    batch = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
    schemas = {cloudevents.ONE: event, cloudevents.BATCH: batch, cloudevents.EITHER: {"oneOf": [event, batch]}}
    refusals = {
        "400": "Not JSON, or an event is wrong; `errors` lists the places. Nothing was stored.",
        "401": "No live meter key.",
        "403": "`wrong_subject`: nothing was stored; or `hard_cap_reached`: the events of `rejected` were not.",
        "409": "`event_id_reused`: the events of `conflicts` contradict earlier ones, which stand; the rest is stored.",
        "413": "The body is too large.",
        "415": "None of the three media types, or compressed.",
        **NOT_NOW,
    }
    return {
        "tags": TAGS,
        "operationId": "report_cloudevents",
        "summary": "Report images as CloudEvents, as to OpenMeter",
        "description": "Identity is (`source`, `id`). A batch is taken whole or refused whole, and may be sent again "
        "in either case. Held events are stored and counted once they can be, and are listed under `/v1/usage/held`.",
        "security": [{"meterKey": []}],
        "requestBody": {
            "required": True,
            "content": {kind.decode(): {"schema": schema} for kind, schema in schemas.items()},
        },
        "responses": _answers(
            {"204": {"description": "Committed."}}, refusals, MEDIA_TYPE, {"$ref": "#/components/schemas/Problem"}
        ),
    }


def _stripe_meter() -> dict[str, Any]:
    form = {
        "type": "object",
        "required": list(stripe_meter.REQUIRED),
        "additionalProperties": False,
        "properties": {
            "event_name": {**NAME, "description": "The model: slug, alias or AIR."},
            stripe_meter.CUSTOMER: {**NAME, "description": "The slug of the licensee whose key it is."},
            stripe_meter.VALUE: {"type": "string", "pattern": "^[1-9][0-9]{0,9}$", "description": "Images."},
            "identifier": {**NAME, "description": "Names the fact; it goes before an Idempotency-Key."},
            "timestamp": {"type": "integer", "description": "Unix seconds. Left out: when it is received."},
        },
    }
    text = {"type": "string"}
    error = {
        "type": "object",
        "properties": {"type": text, "code": text, "message": text, "param": {"type": ["string", "null"]}},
    }
    example = {
        "object": "billing.meter_event",
        "created": 1795338901,
        "event_name": "anima-1",
        "identifier": "job-1",
        "livemode": True,
        "payload": {"stripe_customer_id": "northlight", "value": "4"},
        "timestamp": 1795338899,
    }
    refusals = {
        "400": "A parameter is wrong: `param` names it. `idempotency_error`: the identifier or key was used before for "
        "another content, which stands.",
        "401": "No live meter key.",
        "403": "`hard_cap_reached`: the agreement's cap of the month is used up.",
        "413": "The body is too large.",
        "415": "Not form encoded, or compressed.",
        **NOT_NOW,
    }
    return {
        "tags": TAGS,
        "operationId": "report_meter_event",
        "summary": "Report images as a meter event, as to Stripe",
        "description": "Counts `payload[value]` images of the model `event_name`. Identity is `identifier`, else the "
        "`Idempotency-Key`.",
        "security": [{"meterKey": []}, {"meterKeyBasic": []}],
        "parameters": [IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": {stripe_meter.FORM[0].decode(): {"schema": form}}},
        "responses": _answers(
            {"200": {"description": "Committed.", "content": {"application/json": {"example": example}}}},
            refusals,
            "application/json",
            {"type": "object", "required": ["error"], "properties": {"error": error}},
        ),
    }
