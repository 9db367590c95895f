"""The Celery application: JSON only, acknowledged late, no results kept. A message is a hint; the row is the work."""

from celery import Celery
from celery.signals import worker_process_init

from config.logging import configure_logging
from config.settings import settings
from core.kill_points import arm
from worker.schedule import beat_schedule

TASKS = ["worker.tasks", "worker.accruals", "worker.payments", "worker.notices.tasks"]
app = Celery("perimage", broker=settings().redis_url, include=TASKS)
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_time_limit=600,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        # What a killed worker held goes back to the queue after the time-out. Even so a broker may lose a message;
        # the sweep finds the row. A task that outlives the time-out starts again beside itself, which leases allow.
        "visibility_timeout": 120,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    },
    beat_schedule=beat_schedule(settings()),
    timezone="UTC",
)


@worker_process_init.connect
def _prepare(**_: object) -> None:
    configure_logging(settings().log_format)
    arm(settings().kill_point)
