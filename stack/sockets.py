"""Short private folders for unix sockets, and free ports of this machine."""

import contextlib
import errno
import hashlib
import os
import re
import socket
import stat
from pathlib import Path

from stack.process import StackError

LONGEST = 85  # sun_path has 104 bytes on macOS and 108 on Linux, and PostgreSQL adds a file name
PLAIN = re.compile(r"[A-Za-z0-9/._-]+")  # libpq splits a host at commas; an address needs no quoting this way


def private_folder(folder: Path) -> None:
    """Make a folder that is for its owner alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"Cannot make the folder {folder}: {error.strerror}. Choose another data folder.") from None


def socket_folder(folder: Path, data: Path) -> Path:
    """A 0700 folder for the sockets of `folder`: inside it, or a short one in /tmp that is always the same for it.

    It belongs to us or to whoever owns the server's `data`; somebody else's is refused.
    """
    inside = folder / "run"
    if len(os.fsencode(inside)) <= LONGEST and PLAIN.fullmatch(str(inside)):
        place = inside
    else:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        place = Path(f"/tmp/perimage-{os.geteuid()}-{name}")  # noqa: S108  short is the point; its owner is checked below
    place.mkdir(mode=0o700, parents=place is inside, exist_ok=True)
    seen = place.lstat()
    owners = {os.geteuid(), folder.stat().st_uid} | ({data.stat().st_uid} if data.exists() else set())
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid not in owners:
        raise StackError(f"{place} belongs to somebody else; remove it, or choose another data folder.")
    place.chmod(0o700)
    return place


def leave_socket_folder(folder: Path, data: Path) -> None:
    """Remove an empty folder that `socket_folder` made outside; inside the data folder it may stay."""
    place = socket_folder(folder, data)
    if place.parent != folder:
        with contextlib.suppress(OSError):
            place.rmdir()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except PermissionError:
        raise StackError(f"Port {port} is for root alone; choose one above 1023 with --port.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            hint = "choose another with --port, or 0 for any free one"
            raise StackError(f"Port {port} of {host} is taken by another program; {hint}.") from None
        raise StackError(f"Cannot listen on port {port} of {host}: {error.strerror}.") from None


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now. Somebody may take it before you do: be ready to ask again."""
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    try:
        socket.create_server((host, port)).close()
    except OSError:
        return False
    return True
