"""Turn this process into a server that cannot outlive the one that asked for it.

Run by path in a bare interpreter, never imported: it sets up what must be set between fork and exec, and then becomes
the program. A program of its own, because code in a forked copy of a process with threads may lock up.

    child.py PARENT SIGNAL HOLD WHOM PROGRAM [ARGUMENT ...]

PARENT is the process that started us, SIGNAL what the kernel sends to the program when the starting thread ends, HOLD a
file that stays open in the program and in everything it forks (so that leftovers can be found), WHOM one of `self`,
`user:UID:GID` and `namespace:UID:GID`.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
NO_NAMESPACE = 120  # exit code: the kernel, or the container around us, forbids user namespaces
NO_DROP = 121  # exit code: we may not become that user


def say(path: str, text: str) -> None:
    """Write one line to a file of the kernel, which takes it whole or not at all."""
    target = os.open(path, os.O_WRONLY)
    try:
        os.write(target, text.encode())
    finally:
        os.close(target)


def enter_namespace(uid: int, gid: int) -> None:
    """Be `uid` inside and stay who we are outside: PostgreSQL refuses root, and its files remain ours."""
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        sys.exit(NO_NAMESPACE)
    try:
        say("/proc/self/setgroups", "deny")
        say("/proc/self/uid_map", f"{uid} {outside_uid} 1")
        say("/proc/self/gid_map", f"{gid} {outside_gid} 1")
    except OSError:
        sys.exit(NO_NAMESPACE)


def become(whom: str) -> None:
    """Be who `whom` says from here on."""
    if whom == "self":
        return
    kind, uid, gid = whom.split(":")
    if kind == "namespace":
        enter_namespace(int(uid), int(gid))
        return
    try:
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    except OSError:
        sys.exit(NO_DROP)


def main() -> None:
    parent, number, hold, whom, *program = sys.argv[1:]
    held = os.open(hold, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(held, True)
    become(whom)
    if sys.platform == "linux":
        # Only now: a change of credentials clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(0)  # It died before we asked to be told.
    # Python ignores SIGPIPE, and a shell's background job ignores SIGINT: a server must hear both.
    for heard in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(heard, signal.SIG_DFL)
    os.execv(program[0], program)  # noqa: S606  no shell is the point


if __name__ == "__main__":
    main()
