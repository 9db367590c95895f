"""What beat asks for, and how often. A tick that finds the one before still waiting expires and costs nothing."""

from typing import Any

from config.settings import Settings


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The periodic tasks: the roll-up, and the sweep for work that nobody holds."""
    return {
        "roll-up": _every(settings.rollup_seconds, "worker.tasks.roll_up_usage"),
        "sweep": _every(settings.sweep_seconds, "worker.tasks.sweep"),
        "make-accruals": _every(settings.accruals_seconds, "worker.accruals.make_accruals"),
        "schedule-runs": _every(3600, "worker.tasks.schedule_runs"),
        "watch-notices": _every(settings.notices_seconds, "worker.notices.tasks.watch_notices"),
        "watch-notice-days": _every(settings.notice_days_seconds, "worker.notices.tasks.watch_notice_days"),
        "deliver-notices": _every(settings.deliveries_seconds, "worker.notices.tasks.deliver_notices"),
        **(_gateway(settings) if settings.stripe_api_key else {}),
    }


def _gateway(settings: Settings) -> dict[str, dict[str, Any]]:
    """Beat may be younger than a day, so it asks for the daily comparison each hour; the task knows when it was."""
    return {
        "work-gateway": _every(settings.stripe_seconds, "worker.payments.work_gateway"),
        "reconcile-gateway": _every(min(3600, settings.stripe_reconcile_seconds), "worker.payments.reconcile_gateway"),
    }


def _every(seconds: float, task: str) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}
