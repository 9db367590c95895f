"""Quotes over HTTP: terms tried out on a volume, a forecast, or the caller's recorded usage. Nothing is written."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from core.agreements.reading import MAX_COUNT
from core.database import licensee_eyes
from core.rating.forecast import MOST_MONTHS
from service.caller import RequestCaller
from service.limits import check_json, read_body
from service.problems import MEDIA_TYPE
from service.quote_body import answered, strict_json
from service.session import RequestSession
from service.what_if import MOST_CELLS, MOST_OFFERS

router = APIRouter(tags=["quotes"])
MOST_BYTES = 256 * 1024

TERMS = {
    "currency": "USD",
    "unit": "BUZZ",
    "conversions": [{"from": "BUZZ", "to": "USD", "rate": "0.001"}],
    "fees": [
        {"name": "Meridian images", "models": ["meridian-3"], "schedule": {"kind": "flat", "rate": "14"}},
    ],
    "commitments": [{"name": "floor", "kind": "images", "quantity": 42_000_000, "period": "term"}],
}
EXAMPLES = {
    "volume": {
        "summary": "Terms on a volume, with a table and the pass-through floor",
        "value": {
            "terms": TERMS,
            "starts_on": "2026-01-01",
            "ends_on": "2027-01-01",
            "images": 30_000_000,
            "table": {"rates": ["12", "14", "16"], "volumes": [30_000_000, 42_000_000, 50_000_000]},
            "floor": {"free_share": "40%", "margin": "10%"},
        },
    },
    "forecast": {
        "summary": "An agreement with another floor, on a growing forecast",
        "value": {
            "agreement": "our-deal",
            "set": {"commitments[0].quantity": 30_000_000},
            "forecast": {"monthly": 1_000_000, "growth": "3%"},
        },
    },
    "usage": {
        "summary": "An agreement at another price, on the caller's recorded usage",
        "value": {"agreement": "our-deal", "rate": "11", "usage": {"from": "2026-01", "to": "2026-10"}},
    },
    "comparison": {
        "summary": "Two offers side by side",
        "value": {
            "offers": [
                {"name": "with a floor", "terms": TERMS, "starts_on": "2026-01-01", "ends_on": "2027-01-01"},
                {"name": "as it stands", "agreement": "our-deal"},
            ],
            "images": 5_000_000,
        },
    },
}
_STRING, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0, "maximum": MAX_COUNT}
_DECIMAL = {"type": "string", "description": "a decimal in quotes, so that it stays exact", "examples": ["14"]}
_OFFER = {
    "agreement": {**_STRING, "description": "slug of one of the caller's agreements; or `terms`"},
    "terms": {"type": "object", "description": "the terms document of an agreement; with `starts_on` and `ends_on`"},
    "starts_on": {"type": "string", "format": "date"},
    "ends_on": {"type": "string", "format": "date", "description": "the first day that is no longer covered"},
    "rate": {**_DECIMAL, "description": "instead of the one flat price per image"},
    "set": {"type": "object", "description": "other values by their path in the terms; null takes a key out"},
    "effective_on": {"type": "string", "format": "date", "description": "with `set`: as an amendment from this day on"},
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **_OFFER,
        "offers": {
            "type": "array",
            "maxItems": MOST_OFFERS,
            "description": "several offers to compare, instead of the keys of one; each with a `name`",
            "items": {"type": "object", "additionalProperties": False, "properties": {"name": _STRING, **_OFFER}},
        },
        "images": {**_COUNT, "description": "a volume; or `forecast`, or `usage`"},
        "over": {"type": "string", "enum": ["month", "term"]},
        "forecast": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "monthly": {**_COUNT, "description": "images of the first month (of an average month, with a season)"},
                "images": {**_COUNT, "description": "images in all, instead"},
                "growth": {"type": "string", "examples": ["3%"]},
                "season": {
                    "type": "array",
                    "items": {"type": ["string", "integer"]},
                    "minItems": 12,
                    "maxItems": 12,
                    "description": "weights, January first",
                },
                "months": {"type": "integer", "minimum": 1, "maximum": MOST_MONTHS},
                "listed": {"type": "object", "description": 'images by month, alone: {"2026-01": 1000000}'},
            },
        },
        "usage": {
            "type": "object",
            "additionalProperties": False,
            "required": ["from", "to"],
            "description": "the caller's own recorded usage: shadow billing against what was or would be billed",
            "properties": {
                "from": {"type": "string", "examples": ["2026-01"]},
                "to": {"type": "string", "examples": ["2026-10"], "description": "the last month, included"},
                "count_as": {"type": "object", "description": "which recorded model counts as which offered one"},
            },
        },
        "table": {
            "type": "object",
            "additionalProperties": False,
            "description": f"prices by volumes, at most {MOST_CELLS} cells; the band and telling volumes if left out",
            "properties": {
                "rates": {"type": "array", "items": _DECIMAL},
                "volumes": {"type": "array", "items": _COUNT},
            },
        },
        "floor": {
            "type": "object",
            "additionalProperties": False,
            "description": "the lowest price per image to end users that pays the fee, for every image, and a margin",
            "properties": {
                "free_share": {"type": "string", "examples": ["40%"]},
                "margin": {"type": "string", "examples": ["10%"], "description": "of what end users pay"},
                "credit": {**_STRING, "examples": ["BUZZ"]},
                "worth": _DECIMAL,
                "decimals": {"type": "integer", "minimum": 0, "maximum": 6},
            },
        },
    },
}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


async def _document(request: Request, _caller: RequestCaller) -> dict[str, Any]:
    """The body of an authenticated request as JSON, read strictly."""
    check_json(request.scope, MOST_BYTES)  # type: ignore[arg-type]
    return strict_json(await read_body(request.receive, MOST_BYTES))


@router.post(
    "/v1/quotes",
    summary="What images would cost",
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": SCHEMA, "examples": EXAMPLES}}}
    },
    responses={
        400: _problem("The body is not JSON."),
        401: _problem("No live meter key."),
        404: _problem("No such agreement, or not the caller's."),
        413: _problem("The body is too large."),
        415: _problem("Not application/json, or compressed."),
        422: _problem("The terms, the changes or the question make no sense, or are too large; `path` says where."),
    },
)
def quote(
    session: RequestSession, caller: RequestCaller, document: Annotated[dict[str, Any], Depends(_document)]
) -> dict[str, Any]:
    """Total, every line, shortfall, effective price and break-even; if asked, a table, the pass-through floor, or a
    comparison; of recorded usage the invoice diff. Amounts are decimal strings. Nothing is written."""

    with licensee_eyes(session, caller.licensee_id):
        return answered(session, caller.licensee_id, document)
