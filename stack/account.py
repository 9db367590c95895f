"""As whom a server runs. PostgreSQL refuses to run as root, so root needs to be somebody else for it."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

SELF = "self"


@dataclass(frozen=True)
class Nobody:
    """The account that owns nothing, as this machine numbers it."""

    uid: int
    gid: int


def nobody() -> Nobody:
    """Its numbers. It must be in the password file: PostgreSQL looks its own user up there."""
    try:
        entry = pwd.getpwnam("nobody")
        return Nobody(entry.pw_uid, entry.pw_gid)
    except KeyError:
        others = [Nobody(one.pw_uid, one.pw_gid) for one in pwd.getpwall() if one.pw_uid]
        return others[0] if others else Nobody(65534, 65534)


def ways_to_begin() -> list[str]:
    """How a server that refuses root may start with a new folder, best first (the words of `stack.child`)."""
    if os.geteuid() != 0:
        return [SELF]
    other = nobody()
    return [f"namespace:{other.uid}:{other.gid}", f"user:{other.uid}:{other.gid}"]


def way_to_continue(folder: Path) -> str:
    """How to start with a folder that is there: as its owner, which is root itself only inside a namespace."""
    if os.geteuid() != 0:
        return SELF
    owner = folder.stat()
    if owner.st_uid != 0:
        return f"user:{owner.st_uid}:{owner.st_gid}"
    return ways_to_begin()[0]


def let_through(folder: Path, whom: str) -> None:
    """Let another account pass through a private folder to what is its own inside; it still cannot list or read it."""
    if whom.startswith("user:"):
        folder.chmod(0o711)


def give(path: Path, whom: str) -> None:
    """Hand a file or folder to the account, where `whom` is truly another one."""
    if whom.startswith("user:"):
        _, uid, gid = whom.split(":")
        os.chown(path, int(uid), int(gid))
