"""perimage-meter: look into a spool, send it, and find out why it is not sent.

Everything works while the meter that owns the spool is running; only `flush` needs the spool for itself.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perimage._clock import instant, new_id
from perimage._depot import Depot, spools_in
from perimage._disk import Disk
from perimage._errors import BadReceipt, BadSettings, MeterError, NotSent
from perimage._lock import holder
from perimage._meter import Meter
from perimage._parked import Parked
from perimage._receipts import WELL_KNOWN, check, read_keys
from perimage._reports import Damaged, read_report
from perimage._usage import MICROS, as_json, content_of, event_of

HOME_SPOOL = "~/.perimage/spool"
TEST_MODEL = "perimage-test"
EPILOG = """the usual way:
  export PERIMAGE_URL=https://licences.example PERIMAGE_KEY=... PERIMAGE_SPOOL=/var/lib/myapp/perimage
  perimage-meter doctor        does everything fit together?
  perimage-meter status        what waits, since when?
  perimage-meter parked        what would the service not count, and why?

Exit status: 0 all is well, 1 something is not (it says what), 2 the command was not understood."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["relay"]:
        from perimage._relay import main as relay  # noqa: PLC0415 - an HTTP server, for those who want one

        return int(relay(given[1:]) or 0)
    asked = _parser().parse_args(given)
    try:
        found, sentence, status = asked.run(asked)
    except (MeterError, OSError) as error:
        found, sentence, status = {"error": type(error).__name__, "message": str(error)}, str(error), 1
    with suppress(BrokenPipeError):
        print(json.dumps(found, indent=2) if asked.json else sentence, flush=True)
    return int(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="perimage-meter",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, run: Any, text: str, *, spool: bool = True, service: bool = False
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text.partition(":")[0].partition(".")[0], description=text)
        made.set_defaults(run=run)
        made.add_argument("--json", action="store_true", help="print JSON, for machines")
        if spool:
            default = os.environ.get("PERIMAGE_SPOOL") or HOME_SPOOL
            made.add_argument(
                "--spool", default=default, help="the meter's spool_dir (PERIMAGE_SPOOL; now %(default)s)"
            )
        if service:
            made.add_argument("--url", default=os.environ.get("PERIMAGE_URL", ""), help="the service (PERIMAGE_URL)")
            made.add_argument("--key", default=os.environ.get("PERIMAGE_KEY", ""), help="meter key (PERIMAGE_KEY)")
        return made

    command("status", _status, "what waits in the spool: reports, events, images, since when, and who has it")
    flush = command("flush", _flush, "send everything now. A running meter does so by itself", service=True)
    flush.add_argument("--timeout", type=float, default=30.0, help="seconds to try (%(default)s)")
    parked = command("parked", _parked, "events that the service would not count: list, look at, report again")
    parked.add_argument("events", nargs="*", metavar="EVENT_ID", help="only these; one alone is shown in full")
    parked.add_argument("--retry", action="store_true", help="report them again, once what was wrong is put right")
    parked.add_argument(
        "--new-ids",
        action="store_true",
        help="with --retry: under new ids. Only for images that were never counted: the service takes them as new ones",
    )
    test = command("send-test", _send_test, "send one test event, past the spool", spool=False, service=True)
    test.add_argument(
        "--model",
        default=TEST_MODEL,
        help=f"what to report. The default, {TEST_MODEL}, is no model, so the event is held and never counted",
    )
    verify = command("verify", _verify, "check a signed receipt, offline", spool=False)
    verify.add_argument("receipt", type=Path, help="a file of <spool>/receipts")
    verify.add_argument(
        "--public-key",
        required=True,
        help=f"the service's public key in hexadecimal, a file with it or with {WELL_KNOWN}, or the service's address",
    )
    command("doctor", _doctor, "check url, key, clock, spool and disk, and say what to change", service=True)
    commands.add_parser("relay", help="take usage on loopback from programs in any language (relay --help)")
    return parser


def _folder(asked: argparse.Namespace) -> Path:
    folder = Path(asked.spool).expanduser()
    if not folder.is_dir():
        raise BadSettings(
            f"there is no spool at {folder}; give --spool, or set PERIMAGE_SPOOL to the meter's spool_dir"
        )
    return folder


def _status(asked: argparse.Namespace) -> tuple[Any, str, int]:
    folder, now = _folder(asked), time.time()
    spools = [_look(each, now) for each in spools_in(folder)]
    parked = len(Parked(folder, Disk()).list())
    damaged = len([*folder.glob("*/damaged-*"), *folder.glob("forks/*/damaged-*")])
    found = {"spool": str(folder), "holder": holder(folder), "spools": spools, "parked": parked, "damaged": damaged}
    lines = [f"{folder}: " + (f"in use by process {found['holder']}" if found["holder"] else "not in use")]
    for each in spools:
        waits = f"{each['reports']:,} reports of {each['events']:,} events and {each['images']:,} images wait"
        since = f", the oldest for {each['oldest_age']:,.0f} s" if each["reports"] else ""
        lines.append(f"  {each['source']}: {waits}{since}; {each['journal_bytes']:,} bytes are not in a report yet")
    if parked:
        lines.append(f"  {parked:,} events are parked and NOT counted: perimage-meter parked --spool {folder}")
    if damaged:
        lines.append(f"  {damaged:,} damaged files were set aside: look for damaged-* in the spool")
    return found, "\n".join(lines), int(bool(parked or damaged))


def _look(folder: Path, now: float) -> dict[str, Any]:
    reports = []
    for path in folder.glob("report-*.json"):
        with suppress(OSError, Damaged):  # answered meanwhile
            reports.append(read_report(path))
    source = ""
    with suppress(OSError, ValueError):
        source = json.loads((folder / "spool.json").read_bytes()).get("source", "")
    sizes = []
    for path in folder.glob("journal-*.log"):
        with suppress(OSError):
            sizes.append(path.stat().st_size)
    return {
        "folder": str(folder),
        "source": source,
        "holder": holder(folder),
        "reports": len(reports),
        "events": sum(each.events for each in reports),
        "images": sum(each.images for each in reports),
        "oldest_age": max((max(now - each.sealed_at, 0.0) for each in reports), default=0.0),
        "journal_bytes": sum(sizes),
    }


def _flush(asked: argparse.Namespace) -> tuple[Any, str, int]:
    folder = _folder(asked)
    with Meter(asked.url, asked.key, spool_dir=folder, raise_errors=True) as meter:
        for spool in meter.adopt():
            print(f"sending what was left in {spool}", file=sys.stderr)
        try:
            meter.flush(asked.timeout)
            sentence, status = "everything is answered", 0
        except NotSent as error:
            sentence, status = f"not everything is answered: {error}", 1
        stats = meter.stats()
    return stats._asdict(), f"{sentence}; {stats.sent:,} events sent, {stats.parked:,} of them parked", status


def _parked(asked: argparse.Namespace) -> tuple[Any, str, int]:
    folder = _folder(asked)
    parked = Parked(folder, Disk())
    chosen = [each for each in parked.list() if not asked.events or each.event_id in asked.events]
    if missing := set(asked.events) - {each.event_id for each in chosen}:
        raise BadSettings(f"not parked: {', '.join(sorted(missing))}")
    if asked.new_ids and not asked.retry:
        raise BadSettings("--new-ids goes with --retry")
    if asked.retry:
        spool = Depot.beside(folder).branch("retry")
        try:
            count = parked.requeue(chosen, spool.append, (lambda: new_id(time.time())) if asked.new_ids else None)
        finally:
            spool.close()
            if spool.is_empty():
                spool.remove()
        how = "under new ids" if asked.new_ids else "under their own ids"
        return (
            {"requeued": count},
            f"{count:,} events will be reported again {how}, within a minute of a running meter",
            0,
        )
    if len(asked.events) == 1 and chosen:
        return asdict(chosen[0]), json.dumps(asdict(chosen[0]), indent=2), 1
    lines = [
        f"{each.event_id}  {each.event['image_count']:,} x {each.event['model']}  {each.event['occurred_at']}\n"
        f"    {each.status} {each.code}: {each.message}"
        for each in chosen
    ]
    return [asdict(each) for each in chosen], "\n".join(lines) or "nothing is parked", int(bool(chosen))


def _send_test(asked: argparse.Namespace) -> tuple[Any, str, int]:
    from perimage._doctor import exchange  # noqa: PLC0415

    now = time.time()
    event = event_of(new_id(now), 1, int(now * MICROS), content_of(asked.model, None, "", "preview"))
    status, found, _ = exchange(asked.url, asked.key, as_json({"report_id": new_id(now), "events": [event]}))
    result = (found.get("results") or [{}])[0]
    said = result.get("status") or f"{status} {found.get('code', '')}: {found.get('detail', '')}"
    taken = result.get("status") in ("accepted", "held")
    sentence = f"event {event['event_id']} ({instant(int(now * MICROS))}): {said}"
    return {"status": status, "event": event, "answer": found}, sentence, int(not taken)


def _verify(asked: argparse.Namespace) -> tuple[Any, str, int]:
    given = asked.public_key
    if given.startswith(("https://", "http://")):
        from perimage._doctor import fetch  # noqa: PLC0415

        keys = read_keys(fetch(given if given.endswith(".json") else given.rstrip("/") + WELL_KNOWN))
    else:
        path = Path(given)
        try:
            keys = read_keys(path.read_bytes() if len(given) < 250 and path.is_file() else given.encode())
        except BadReceipt as error:
            raise BadReceipt(f"--public-key: {error}") from None
    seen = check(asked.receipt.read_bytes(), keys)
    about = "of the report kept beside it" if seen.about_report else "which does not name the hash of its report"
    sentence = (
        f"genuine: signed with {seen.key_id}, {about}\n"
        f"report {seen.report_id}, received {seen.received_at}: {seen.events:,} events, {seen.images:,} images counted"
    )
    return {"genuine": True, **asdict(seen)}, sentence, 0


def _doctor(asked: argparse.Namespace) -> tuple[Any, str, int]:
    from perimage._doctor import examine  # noqa: PLC0415

    findings = examine(asked.url, asked.key, Path(asked.spool).expanduser(), datetime.now(UTC))
    lines = [f"{'ok  ' if each.good else 'BAD '} {each.name}: {each.sentence}" for each in findings]
    return [asdict(each) for each in findings], "\n".join(lines), int(not all(each.good for each in findings))
