"""The Perimage meter: counts the images a platform generates and reports them, each once.

    import perimage

    meter = perimage.Meter("https://licences.example", key, spool_dir="/var/lib/myapp/perimage")
    meter.record("anima-1", images=4, adapters=["film-grain"], plan="free")

Every name without a leading underscore here is public; every other module is not.
"""

from perimage._errors import (
    BadReceipt,
    BadSettings,
    BadUsage,
    MeterClosed,
    MeterError,
    NotSent,
    SpoolError,
    SpoolFailed,
    SpoolFull,
    SpoolLocked,
    Unauthorized,
)
from perimage._meter import Meter
from perimage._stats import Stats

__version__ = "0.1.0"
__all__ = [
    "BadReceipt",
    "BadSettings",
    "BadUsage",
    "Meter",
    "MeterClosed",
    "MeterError",
    "NotSent",
    "SpoolError",
    "SpoolFailed",
    "SpoolFull",
    "SpoolLocked",
    "Stats",
    "Unauthorized",
    "__version__",
]
