"""Become a child that cannot outlive its parent, then run a command.

A separate script that needs only the standard library:

    child.py '{"parent": 123, "signal": 15, "uid": 65534, "gid": 65534, "capability": 2}' PROGRAM [ARGUMENT …]

The child leads its own session, so that a Ctrl-C in the terminal reaches only the supervisor, which stops the rest
in order. Doing this in a fresh process, and not between fork and exec, is safe whatever threads the parent runs.
"""

import ctypes
import json
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
# With this, setuid() keeps capabilities, and access() gives the same answer as open().
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    """Exit with a message if a system call returned an error."""
    if result != 0:
        error = os.strerror(ctypes.get_errno())
        sys.exit(f"child: {what}: {error}")


def keep_only(capability: int) -> None:
    """Keep only this capability, across the next exec too."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bit = 1 << capability
    # Effective, permitted, inheritable; low words first.
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    checked(libc.capset(header, sets), "capset")
    checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "raise ambient capability")


def become(uid: int, gid: int, capability: int | None) -> None:
    """Run as another user from now on, with a capability if that user must pass directories closed to it."""
    if capability is not None:
        checked(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "set secure bits")
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if capability is not None:
        keep_only(capability)


def main() -> None:
    """Prepare this process according to the first argument, and replace it by the command."""
    wanted, command = json.loads(sys.argv[1]), sys.argv[2:]
    os.setsid()
    if wanted["uid"] is not None:
        become(wanted["uid"], wanted["gid"], wanted["capability"])
    # Set it after the change of user, which would clear it.
    checked(libc.prctl(PR_SET_PDEATHSIG, wanted["signal"], 0, 0, 0), "set parent-death signal")
    if os.getppid() != wanted["parent"]:
        sys.exit("child: the parent is already gone")
    # Restore signals that Python, or a shell's "&", ignores.
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"child: cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
