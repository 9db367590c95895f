"""Doors that clients of other systems already speak: they change an address and a key, and report to us.

Each door reads a request of its own protocol into the same events, hands them in by the same steps as a usage report of
ours (`service/taking.py`), and answers in its protocol's words. There is one ledger and one rule of identity behind all
of them (decision 0009).

    licence_api.py    a licensor's usage report: POST /v1/licenses/models/{model}/usage
    cloudevents.py    OpenMeter's ingest: POST /api/v1/events
    stripe_meter.py   Stripe's meter events: POST /v1/billing/meter_events

    door.py           what every door does around that: headers, one exit for whatever goes wrong
    reading.py        strict reading: JSON, counts, names, times
    facts.py          facts to a report; ids that mean the same fact for ever
    described.py      the doors in the OpenAPI document
"""

from starlette.routing import Route

from service.compatible.cloudevents import CloudEvents
from service.compatible.licence_api import LicenceApi
from service.compatible.stripe_meter import StripeMeter

ROUTES = [
    Route(LicenceApi.path, LicenceApi(), methods=["POST"], name="report_licensed_usage", include_in_schema=False),
    Route(CloudEvents.path, CloudEvents(), methods=["POST"], name="report_cloudevents", include_in_schema=False),
    Route(StripeMeter.path, StripeMeter(), methods=["POST"], name="report_meter_event", include_in_schema=False),
]
