"""`perimage-meter relay`: a small server beside a platform in any language. It answers at once and forwards for you.

It takes usage reports as the service does, the doors that other systems' clients speak, and a simple record; flushes
each to its spool before it answers; and hands them on with its own meter key, for as long as it takes.
"""

import argparse
import asyncio
import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from perimage._disk import Disk, refused
from perimage._errors import BadSettings, MeterError
from perimage._lock import FolderLock
from perimage._relay_app import Relay
from perimage._relay_forward import LONGEST_PAUSE, Forwarder
from perimage._relay_http import HttpServer, Limits
from perimage._relay_spool import Outbox

log = logging.getLogger("perimage.relay")
LISTEN = "127.0.0.1:8790"
MIB = 1 << 20
SHORTEST_TOKEN = 16
EPILOG = """environment:
  PERIMAGE_URL           address of the service (or --url)
  PERIMAGE_KEY           the platform's meter key, with which the relay forwards
  PERIMAGE_RELAY_SPOOL   folder for the spool (or --spool)
  PERIMAGE_RELAY_TOKEN   what senders must show; needed for --allow-remote"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until it is told to stop. 0 after that; 2 where it could not start."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        asyncio.run(_serve(options))
    except (MeterError, OSError) as error:
        print(f"perimage-meter relay: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="perimage-meter relay",
        description="Takes usage from programs on this machine, keeps it on the disk, and forwards it to the service.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    spool = os.environ.get("PERIMAGE_RELAY_SPOOL") or str(Path.home() / ".perimage" / "relay")
    add("--listen", default=LISTEN, metavar="HOST:PORT", help=f"where senders reach it; by default {LISTEN}")
    add("--url", default=os.environ.get("PERIMAGE_URL", ""), help="address of the service")
    add("--spool", default=spool, metavar="DIR", help="by default %(default)s")
    add("--max-spool", type=_whole, default=1024, metavar="MIB", help="refuse beyond this; by default %(default)s")
    add("--min-free", type=_whole, default=16, metavar="MIB", help="leave so much of the disk; by default %(default)s")
    add("--max-connections", type=_whole, default=256, metavar="N", help="by default %(default)s")
    add("--longest-pause", type=float, default=LONGEST_PAUSE, metavar="SECONDS", help="between two tries")
    add("--allow-remote", action="store_true", help="listen on an address that other machines reach")
    add("--send-parked", action="store_true", help="first, put what is parked back among what is forwarded")
    return parser


async def _serve(options: argparse.Namespace) -> None:
    host, port = _address(options.listen)
    token = os.environ.get("PERIMAGE_RELAY_TOKEN", "")
    _check_reach(host, token, allow_remote=options.allow_remote)
    key = os.environ.get("PERIMAGE_KEY", "")
    if not options.url or not key:
        raise BadSettings("set PERIMAGE_URL and PERIMAGE_KEY, so that usage can be forwarded")
    with ExitStack() as stack:
        folder, disk = Path(options.spool), Disk()
        try:
            disk.make_folder(folder)
            stack.callback(FolderLock.take(folder).give_back)
            outbox = Outbox(folder, disk, options.max_spool * MIB, options.min_free * MIB)
            stack.callback(outbox.close)
            if options.send_parked:
                log.info("%d parked requests are forwarded again", outbox.send_parked())
        except OSError as error:
            raise refused(error, f"the spool {folder} cannot be used") from None
        forwarder = Forwarder(outbox, options.url, key, longest_pause=options.longest_pause)
        meter = _meter(options, key, folder)
        stack.callback(meter.close, 2.0)
        relay = Relay(outbox, forwarder, meter, url=options.url, token=token, remote=options.allow_remote)
        server = HttpServer(relay.handle, relay.refuse, Limits(connections=options.max_connections))
        where = await server.start(host, port)
        forwarder.start()
        stack.callback(forwarder.stop)
        print(f"listening on http://{where[0]}:{where[1]}, forwarding to {options.url}", flush=True)
        await _told_to_stop()
        await server.stop()


def _meter(options: argparse.Namespace, key: str, folder: Path) -> Any:
    from perimage._meter import Meter  # noqa: PLC0415 - the spool is checked first

    return Meter(
        options.url,
        key,
        spool_dir=folder / "meter",
        raise_errors=True,
        max_spool_bytes=options.max_spool * MIB,
        min_free_bytes=options.min_free * MIB,
    )


async def _told_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows: Ctrl-C raises instead
            loop.add_signal_handler(number, stop.set)
    await stop.wait()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise BadSettings(f"--listen must be like {LISTEN}, not {text!r}")
    return host, int(port)


def _check_reach(host: str, token: str, *, allow_remote: bool) -> None:
    """Refuses to be reached by others unless that was asked for, and they must show something."""
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or any(c <= " " for c in token)):
        raise BadSettings(f"PERIMAGE_RELAY_TOKEN must have at least {SHORTEST_TOKEN} letters and digits")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not allow_remote:
        raise BadSettings(f"{host} can be reached by other machines; use {LISTEN}, or say --allow-remote")
    if allow_remote and not token:
        raise BadSettings("--allow-remote needs PERIMAGE_RELAY_TOKEN, which senders must show")


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
