"""doctor: does everything that a meter needs fit together? Each finding says what to change.

It reports nothing: the key is tried with a report that no service takes, and judged by whether the answer speaks of
the key or of the report.
"""

import json
import os
import time
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from perimage._disk import Disk
from perimage._errors import MeterError, NotSent
from perimage._lock import holder
from perimage._parked import Parked
from perimage._post import PATH
from perimage._settings import MIN_FREE_BYTES, check_address, check_key

MOST_SKEW = 60.0  # seconds; the service refuses what is 300 ahead
SLOW_FLUSH = 0.05  # seconds
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    good: bool
    sentence: str


def examine(url: str, key: str, folder: Path, now: datetime) -> list[Finding]:
    """Everything, in the order in which one would put it right."""
    findings = []
    try:
        url, key = check_address(url), check_key(key)
    except MeterError as error:
        findings.append(Finding("settings", False, f"{error} (PERIMAGE_URL and PERIMAGE_KEY, or --url and --key)"))
    else:
        findings += _service(url, key, now)
    return findings + _spool(folder)


def exchange(url: str, key: str, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
    """One exchange with the service: status, what was said, headers. Raises NotSent."""
    import httpx  # noqa: PLC0415

    headers = {"Authorization": f"Bearer {check_key(key)}", "Content-Type": "application/json"}
    try:
        response = httpx.post(check_address(url) + PATH, content=body, headers=headers, timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotSent(f"{url} gives no answer ({type(error).__name__}: {error})") from None
    try:
        found = json.loads(response.content)
    except ValueError:
        found = None
    said = found if isinstance(found, dict) else {"detail": response.text[:200]}
    return response.status_code, said, {name.lower(): value for name, value in response.headers.items()}


def fetch(url: str) -> bytes:
    """A document of the service's. Raises NotSent."""
    import httpx  # noqa: PLC0415

    try:
        response = httpx.get(url, timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotSent(f"{url} gives no answer ({type(error).__name__}: {error})") from None
    if response.status_code != 200:
        raise NotSent(f"{url} answered {response.status_code}")
    return response.content


def _service(url: str, key: str, now: datetime) -> list[Finding]:
    began = time.monotonic()
    try:
        status, said, headers = exchange(url, key, b"{}")
    except NotSent as error:
        return [Finding("url", False, f"{error}; check the address, the network and a proxy in between")]
    took = time.monotonic() - began
    ours = bool(said.get("code"))
    findings = [Finding("url", ours, f"{url} answers in {took * 1000:.0f} ms" if ours else f"{url} is not Perimage")]
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        findings.append(Finding("encryption", False, "the key crosses the network in the clear; use https"))
    if ours:
        good = status == 422
        how = "is taken" if good else f"is not taken ({status} {said.get('code')}: {said.get('detail')})"
        findings.append(Finding("key", good, f"the meter key {how}"))
    if "date" in headers:
        skew = (now - parsedate_to_datetime(headers["date"])).total_seconds()
        good = abs(skew) <= MOST_SKEW
        where = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the service's"
        findings.append(Finding("clock", good, f"this clock is {where}" + ("" if good else "; set it by NTP")))
    return findings


def _spool(folder: Path) -> list[Finding]:
    disk, probe = Disk(), folder / ".doctor"
    existed = folder.is_dir()
    try:
        disk.make_folder(folder)
        began = time.monotonic()
        disk.write_whole(probe, b"perimage")
        took = time.monotonic() - began
        disk.remove(probe)
    except OSError as error:
        return [Finding("spool", False, f"{folder} cannot be written ({error.strerror}); check who owns it")]
    has = f", in use by process {holder(folder)}" if holder(folder) else "" if existed else ", made just now"
    findings = [Finding("spool", True, f"{folder} can be written{has}")]
    quick = took < SLOW_FLUSH
    advice = "" if quick else "; durable mode waits for it with every record, so use another disk or mode='fast'"
    findings.append(Finding("disk", quick, f"a file is flushed in {took * 1000:.1f} ms{advice}"))
    if str(os.path.realpath(folder)).startswith(("/tmp/", "/dev/shm/", "/run/")):  # noqa: S108
        findings.append(Finding("place", False, f"{folder} does not outlive a restart; choose a folder that does"))
    free = disk.free(folder)
    findings.append(Finding("room", free > 4 * MIN_FREE_BYTES, f"{free:,} bytes are free"))
    count = len(Parked(folder, disk).list())
    told = f"{count:,} events are parked and not counted; see perimage-meter parked"
    findings.append(Finding("parked", not count, told if count else "no events are parked"))
    return findings
