"""What a meter may be made with."""

from perimage._errors import BadSettings, BadUsage
from perimage._usage import MICROS, content_of

MAX_SPOOL_BYTES = 1 << 30
MIN_FREE_BYTES = 16 << 20
WINDOW = 60.0
QUARTER = 900 * MICROS  # no zone's day begins between two quarters of an hour
MODES = ("durable", "fast")


def check_address(url: object) -> str:
    """The service's address, without what record() will add to it."""
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or any(c <= " " for c in url):
        raise BadSettings("url must be the service's address, such as https://licences.example")
    return url.rstrip("/")


def check_key(key: object) -> str:
    """A meter key. It is never told in an error."""
    if not isinstance(key, str) or not key or not key.isascii() or any(c <= " " for c in key):
        raise BadSettings("key must be the meter key as you were given it, without spaces or line ends")
    return key


def check_settings(mode: object, source: object, window: float, flush_interval: float) -> None:
    """Raises BadSettings."""
    if mode not in MODES:
        raise BadSettings('mode must be "durable" or "fast"')
    if source is not None:
        try:
            content_of(source, None, "", "image")
        except BadUsage:
            raise BadSettings("source must be text of 1 to 200 characters, or be left out") from None
        if len(str(source)) > 200:
            raise BadSettings("source must be text of 1 to 200 characters, or be left out")
    if not 0 < window <= 900 or QUARTER % max(round(window * MICROS), 1):
        raise BadSettings("window must divide a quarter of an hour evenly: 60 seconds, or 1, 5, 10, 15, 30, 300 ...")
    if not 0 < flush_interval <= 3600:
        raise BadSettings("flush_interval must be a number of seconds, above 0")
