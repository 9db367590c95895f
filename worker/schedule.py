"""What beat asks for, and how often. A tick that finds the one before still waiting expires and costs nothing."""

from typing import Any

from config.settings import Settings


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The periodic tasks: the roll-up, and the sweep for work that nobody holds."""
    return {
        "roll-up": _every(settings.rollup_seconds, "worker.tasks.roll_up_usage"),
        "sweep": _every(settings.sweep_seconds, "worker.tasks.sweep"),
    }


def _every(seconds: float, task: str) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}
