"""One process at a time uses a state directory, so that two gateways never share a spool."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class NotOurs(Exception):
    """The state directory cannot be used. The message says why, and what to do."""


@contextlib.contextmanager
def own(state_dir: Path) -> Iterator[int]:
    """Lock the state directory, which is made if it is not there. Yields the descriptor that has the lock.

    Raises NotOurs if another process has it, or if it cannot be used.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise NotOurs(f"GATEWAY_STATE_DIR {state_dir} is not usable: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NotOurs(f"another gateway uses {state_dir}. Give each its own GATEWAY_STATE_DIR.") from None
        yield descriptor
    finally:
        os.close(descriptor)
