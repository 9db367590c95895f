"""How this door asks the other for work: by the task's name, over the broker, without importing it.

A hint may be lost; the row it points to is found by the worker's sweep.
"""

from functools import cache

from celery import Celery
from kombu.exceptions import OperationalError

from config.settings import settings

PATIENCE_SECONDS = 5


@cache
def _broker() -> Celery:
    broker = Celery("perimage-hints", broker=settings().redis_url)
    broker.conf.update(
        task_serializer="json",
        task_ignore_result=True,
        broker_connection_timeout=PATIENCE_SECONDS,
        broker_transport_options={
            "socket_timeout": PATIENCE_SECONDS,  # a broker that hangs is as good as none
            "socket_connect_timeout": PATIENCE_SECONDS,
            "max_retries": 1,
            "interval_start": 0,
        },
    )
    return broker


def hint(task: str, *ids: int) -> bool:
    """Tells the workers that there is work: `hint("worker.tasks.work_run", run_id)`.

    False when the broker is out of reach: it makes no sense to go on, and the sweep finds the work.
    """
    try:
        _broker().send_task(task, args=ids, retry=False)
    except OperationalError:
        return False
    return True


def hint_run(run_id: int, pieces: int) -> bool:
    """Tells the workers of a billing run, once for each piece of work that it is. False as for `hint`."""
    return all(hint("worker.tasks.work_run", run_id) for _ in range(pieces))
