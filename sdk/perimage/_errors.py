"""Every way the meter says no.

    MeterError
    ├── BadSettings      Meter(...) was given something it cannot work with (also a ValueError)
    ├── BadUsage         record() was given something that cannot be reported; nothing was taken (also a ValueError)
    ├── MeterClosed      record() after close(); nothing was taken
    ├── SpoolError       the folder in which usage waits; nothing was taken
    │   ├── SpoolLocked  another process has it
    │   ├── SpoolFull    it, or the disk it is on, has no room left
    │   └── SpoolFailed  the disk refused: permissions, a broken disk
    ├── NotSent          what was taken is safe in the spool, but was not answered yet
    │   └── Unauthorized the service does not know the meter key
    └── BadReceipt       a receipt that is not what it says it is

Meter(...) raises BadSettings and the errors of the spool, because that is the start of a program. record() raises
BadUsage, MeterClosed and the errors of the spool, and flush() NotSent, only where the meter was made with
`raise_errors=True`; otherwise they are logged and counted in `stats()`.
"""

# ruff: noqa: N818 - a refusal is named for what is wrong, as in the code that raises it


class MeterError(Exception):
    """What all of them are."""


class BadSettings(MeterError, ValueError):
    """The meter cannot be made like this."""


class BadUsage(MeterError, ValueError):
    """This cannot be reported. Nothing was taken."""


class MeterClosed(MeterError):
    """The meter was closed before. Nothing was taken."""


class SpoolError(MeterError):
    """The spool could not take it. Nothing was taken."""


class SpoolLocked(SpoolError):
    """Another process has this spool. `pid` is its number, where it is known."""

    def __init__(self, sentence: str, pid: int | None = None) -> None:
        super().__init__(sentence)
        self.pid = pid


class SpoolFull(SpoolError):
    """The spool, or the disk it is on, has no room left. What it holds already is kept."""


class SpoolFailed(SpoolError):
    """The disk refused."""


class NotSent(MeterError):
    """Not everything that was taken is answered yet. It stays in the spool and will be sent again."""


class Unauthorized(NotSent):
    """The service does not know the meter key, or does not let it report."""


class BadReceipt(MeterError):
    """The receipt is not what it says it is."""
