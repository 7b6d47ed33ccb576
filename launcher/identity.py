"""The user that runs a server: ours, or an unprivileged one if we are root and the server refuses root."""

import os
import pwd
import stat
from pathlib import Path

from launcher.errors import LauncherError
from launcher.processes import Identity

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SETPCAP = 1, 2, 8
UNPRIVILEGED = "nobody"


def unprivileged_identity(owned: Path, *, passes: tuple[Path, ...]) -> Identity | None:
    """Return the user for a server that refuses root: None (ourselves) unless we are root.

    For root it is the owner of `owned` if that exists and does not belong to root, else `nobody`. If that user cannot
    reach `owned` or one of `passes` because a parent directory is closed to it (such as a clone under /root), it
    gets the one capability that lets it pass. Raises LauncherError if that capability is not available.
    """
    if os.geteuid() != 0:
        return None
    uid, gid = _owner(owned) or _nobody()
    closed = [path for path in (owned, *passes) if (_closed_parent(path, uid, gid))]
    if not closed:
        return Identity(uid, gid)
    available = _permitted_capabilities()
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if {capability, CAP_SETPCAP} <= available:
            return Identity(uid, gid, capability)
    directory = _closed_parent(closed[0], uid, gid)
    raise LauncherError(
        f"PostgreSQL does not run as root, and the user {UNPRIVILEGED} cannot enter {directory}. Move "
        "this directory to a place that other users may enter, run as another user, or set DATABASE_URL."
    )


def give(path: Path, identity: Identity | None) -> None:
    """Change the owner of a file or directory to the identity, unless that is ourselves."""
    if identity is not None:
        os.chown(path, identity.uid, identity.gid)


def _owner(path: Path) -> tuple[int, int] | None:
    if not path.exists() or path.stat().st_uid == 0:
        return None
    return path.stat().st_uid, path.stat().st_gid


def _nobody() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise LauncherError(
            f"PostgreSQL does not run as root, and this machine has no user {UNPRIVILEGED}. Run as "
            "another user, or set DATABASE_URL."
        ) from None
    return entry.pw_uid, entry.pw_gid


def _closed_parent(path: Path, uid: int, gid: int) -> Path | None:
    """Return the topmost directory above `path` which that user may not enter."""
    for directory in reversed(path.resolve().parents):
        facts = directory.stat()
        if facts.st_uid == uid:
            enter = stat.S_IXUSR
        elif facts.st_gid == gid:
            enter = stat.S_IXGRP
        else:
            enter = stat.S_IXOTH
        if not facts.st_mode & enter:
            return directory
    return None


def _permitted_capabilities() -> set[int]:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "CapPrm":
            bits = int(value, 16)
            return {number for number in range(64) if bits >> number & 1}
    return set()
