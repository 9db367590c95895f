"""How this door asks the other for work: by the task's name, over the broker, without importing it.

A hint may be lost; the row it points to is found by the worker's sweep.
"""

from functools import cache

from celery import Celery

from config.settings import settings


@cache
def _broker() -> Celery:
    broker = Celery("perimage-hints", broker=settings().redis_url)
    broker.conf.update(task_serializer="json", task_ignore_result=True, broker_connection_timeout=5)
    return broker


def hint(task: str, *ids: int) -> None:
    """Tells the workers that there is work: `hint("worker.tasks.work_item", run_id, agreement_id)`."""
    _broker().send_task(task, args=ids, retry=False)
