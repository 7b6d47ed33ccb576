"""One compilation for all gateways that request it: kept compressed, and sent while it is still being made.

Compiling 400,000 keys takes seconds, and sending them longer. So a thread compiles into a list of gzip members in
memory (some 60 bytes a key). Every gateway that requests everything reads that list at its own pace, with an empty
line every few seconds while nothing is new. The list is kept for later requests.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Final

import structlog
from django.db import connection

from core.scope import platform_scope
from gateway.changes import compile_changes
from gateway.compile import compile_everything, compile_snapshot
from gateway.contract import encode
from gateway.contract.signatures import Message
from gateway.contract.stream import KEEP_ALIVE
from gateway.contract.versions import Downgrade
from gateway.proof import NotProved
from gateway.refused import note_refused
from tenants.revision import current_revision

log = structlog.get_logger(__name__)

SHARED_FOR_SECONDS: Final = 1.0
# Times the duration of the compilation.
SHARED_FOR_TIMES_AS_LONG: Final = 10
# A gateway gives up after 40 seconds without a byte.
KEEP_ALIVE_SECONDS: Final = 5.0
# Before the same revision is compiled again.
REFUSED_FOR_SECONDS: Final = 10.0
KEPT_CHANGES: Final = 64  # answers


_NOTHING: tuple[object, float, int, bytes] = (None, 0.0, 0, b"")


class CompilationFailed(Exception):
    """The compilation that this answer was reading failed; its gateway requests it again."""


class Compilation:
    """Everything at one revision, finished or in progress."""

    def __init__(self, database: str, revision: int, version: int) -> None:
        self.database, self.revision = database, revision  # at least this one
        self.version = version  # of the contract
        self.began_at = time.monotonic()
        self.seconds = 0.0
        self.is_done = self.has_failed = False
        # Why it may not be published.
        self.refused: NotProved | None = None
        self._members: list[bytes] = []
        self._message: Message | None = None
        self._grown = threading.Condition()

    def run(self, members: Callable[[int], Iterator[bytes | Message]] = compile_everything) -> None:
        """Compile; readers receive each member as it is made."""
        try:
            for member in members(self.version):
                with self._grown:
                    if isinstance(member, Message):
                        self._message = member
                    else:
                        self._members.append(member)
                    self._grown.notify_all()
        except BaseException as error:
            self.has_failed = True
            self.refused = error if isinstance(error, NotProved) else None
            raise
        finally:
            self.seconds = time.monotonic() - self.began_at
            with self._grown:
                self.is_done = True
                self._grown.notify_all()

    def read(self, end: Callable[[Message], bytes]) -> Iterator[bytes]:
        """All members from the first, KEEP_ALIVE while none is ready, and `end` of the message.

        Raises CompilationFailed.
        """
        # Sent at once: the first query may wait for its connection.
        yield KEEP_ALIVE
        number = 0
        while True:
            with self._grown:
                if len(self._members) == number and not self.is_done:
                    self._grown.wait(KEEP_ALIVE_SECONDS)
                members, is_done = self._members[number:], self.is_done
            number += len(members)
            yield from members or [KEEP_ALIVE]
            if is_done:
                if self.has_failed or self._message is None:
                    raise CompilationFailed(f"revision {self.revision} could not be compiled")
                yield end(self._message)
                return

    @property
    def is_fresh(self) -> bool:
        """Whether it is recent enough for a gateway to start with; what it lacks follows as changes."""
        age = time.monotonic() - self.began_at - self.seconds
        return not self.is_done or age <= max(SHARED_FOR_SECONDS, SHARED_FOR_TIMES_AS_LONG * self.seconds)

    def stays_refused(self, newest: int) -> bool:
        """Whether compiling it again would hardly find anything else."""
        return self.revision == newest and time.monotonic() - self.began_at < REFUSED_FOR_SECONDS


class SharedSnapshots:
    """The compilations of this process for gateways."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._everything: dict[int, Compilation] = {}
        self._changes: OrderedDict[tuple[object, ...], tuple[Message, bytes] | None] = OrderedDict()
        self._whole: dict[int, tuple[object, float, int, bytes]] = {}

    def everything(self, beyond: int, version: int) -> Compilation:
        """Everything at a revision greater than `beyond`, which must exist. Compiles in a thread, once for all.

        Called inside a transaction, it compiles before it returns, as only that transaction sees its rows. Raises
        NotProved if it may not be published, as far as that is known.
        """
        database, newest = connection.settings_dict["NAME"], current_revision()
        with self._lock:
            made = self._everything.get(version)
            if made is not None and made.database != database:
                made = None
            if made is not None and made.refused is not None and made.stays_refused(newest):
                # Every gateway asks again and again.
                raise made.refused
            if made is not None and made.is_fresh and not made.has_failed:
                is_slow = not made.is_done or made.seconds > SHARED_FOR_SECONDS
                if made.revision == newest or (is_slow and beyond < made.revision < newest):
                    return made
            made = self._everything[version] = Compilation(database, newest, version)
        if connection.in_atomic_block:
            made.run()
        else:
            threading.Thread(target=copy_context().run, args=[_compile, made], daemon=True).start()
        return made

    def changes(self, after: int, state: str, version: int) -> tuple[Message, bytes] | None:
        """As `compile_changes`, compiled once for all gateways that the same change has woken."""
        asked = (connection.settings_dict["NAME"], after, current_revision(), state, version)
        with self._lock:
            if asked not in self._changes:
                self._changes[asked] = compile_changes(after, state, version)
                while len(self._changes) > KEPT_CHANGES:
                    self._changes.popitem(last=False)
            return self._changes[asked]

    def whole(self, version: int) -> tuple[int, bytes]:
        """The revision and a `ConfigSnapshot` as JSON: current, or at most a second old at the same revision."""
        wanted = (connection.settings_dict["NAME"], current_revision())
        with self._lock:
            made_for, made_at, revision, body = self._whole.get(version, _NOTHING)
            if made_for != wanted or time.monotonic() - made_at > SHARED_FOR_SECONDS:
                snapshot = compile_snapshot(version)
                revision = snapshot.revision
                body = encode(Downgrade(snapshot.routes).snapshot(snapshot) if version == 1 else snapshot)
                self._whole[version] = ((wanted[0], revision), time.monotonic(), revision, body)
            return revision, body


def _compile(made: Compilation) -> None:
    try:
        with platform_scope("configuration for gateways", is_routine=True):
            made.run()
        log.info("config.compiled", revision=made.revision, seconds=round(made.seconds, 3))
    except NotProved as fault:
        with platform_scope("configuration for gateways", is_routine=True):
            note_refused([fault], made.revision)
    except Exception:
        log.exception("config.not_compiled", revision=made.revision)
    finally:
        connection.close()


shared_snapshots = SharedSnapshots()
