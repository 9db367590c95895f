"""kill -9 of the service under the compatible doors: what is sent again after it is counted once."""

import signal
from collections.abc import Callable

import httpx
import psycopg
import pytest

from tests.door import Door, open_trade, service_process
from tests.service.compatible.doors import cloud, cloud_event, licence, meter, meter_form

POINTS = {  # and whether the usage is stored when the process dies there
    "after_parse": False,
    "after_insert_before_commit": False,
    "after_commit_before_reply": True,
}
SENDERS: dict[str, tuple[Callable[[Door], httpx.Response], dict[str, int]]] = {
    "licence": (lambda door: licence(door, {"number_of_generations": 3}, Idempotency_Key="k"), {"licence-key:k": 3}),
    "cloud": (
        lambda door: cloud(door, [cloud_event("1"), cloud_event("2")]),
        {"cloudevents:gpu-7:1": 1, "cloudevents:gpu-7:2": 1},
    ),
    "meter": (lambda door: meter(door, meter_form("4"), Idempotency_Key="k"), {"stripe-key:k": 4}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("point", "survives"), POINTS.items())
@pytest.mark.parametrize("sender", SENDERS)
def test_usage_whose_service_is_killed_is_counted_once_when_it_is_sent_again(
    database_url: str, sender: str, point: str, survives: bool
):
    def stored() -> dict[str, int]:
        with psycopg.connect(database_url) as connection:
            return dict(connection.execute("SELECT event_id, image_count FROM usage_events").fetchall())

    keys = open_trade(database_url)
    send, expected = SENDERS[sender]
    with service_process(database_url, keys, PERIMAGE_KILL_POINT=point) as doomed:
        with pytest.raises(httpx.TransportError):
            send(doomed)
        assert doomed.exit_code() == -signal.SIGKILL
    assert stored() == (expected if survives else {})
    with service_process(database_url, keys) as risen:
        assert send(risen).is_success
        assert send(risen).is_success
    assert stored() == expected
