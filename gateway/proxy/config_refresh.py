"""Fetch the complete configuration and bring it up to date, while changes keep the one in force current."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from gateway.contract import REVISION_HEADER, ContractError
from gateway.contract.stream import CONFIG_TYPE
from gateway.proxy.config_arrival import Arrival
from gateway.proxy.config_build import IndexBuilder
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.control import ControlAnswer
from gateway.proxy.index import Index

# The most requests for later changes. Each takes milliseconds.
_MOST_QUESTIONS = 100
Query = dict[str, str]
# A revision and its state.
Position = tuple[int, str]


def query_after(revision: int, state: str = "", *, wait_seconds: int = 0) -> Query:
    """The query for whatever is newer than `revision`; for everything without a state."""
    query = {"after": str(revision), "wait": str(wait_seconds)}
    return {**query, "state": state} if state else query


class Everything:
    """One fetch of everything. The creator must close its `arrival` and retire the index in `dropped`.

    A complete configuration has one revision, and newer ones exist by the time it arrives. The gateway asks the control
    plane for later changes and does not remember them: only the control plane knows whether both share a history.

    Args:
        get: asks the control plane.
        before: an index; the complete configuration reuses whatever is the same in it.
        beyond: a revision; a configuration at or before it cannot be brought up to date.
        position: the revision up to which changes are known. Nothing older may come into force.
    """

    def __init__(
        self,
        get: Callable[[Query], AbstractAsyncContextManager[ControlAnswer]],
        store: ConfigStore,
        before: Index | None,
        beyond: int,
        position: Callable[[], Position],
    ) -> None:
        self._get = get
        self._store = store
        self._beyond = beyond
        self._position = position
        self.arrival = Arrival(store, IndexBuilder(before), can_wait=True)
        self.dropped: Index | None = None
        # The control plane that answered does not support changes.
        self.is_whole = False
        # The known configuration has the same revision and another state.
        self.is_other_history = False
        # The revision of a control plane that has nothing newer than ours.
        self.newest = ""

    async def fetch(self) -> Index | None:
        """The complete configuration, as new as `position` is now; None if it cannot be brought up to date.

        Raises ContractError, TimeoutError and TransportError. Puts nothing in force and writes only a draft to disk.
        """
        async with self._get(query_after(self._beyond)) as answer:
            answer.require_useful()
            if answer.status == 204:
                self._store.verifier.require_nothing_newer(answer)
                self.newest = answer.headers.get(REVISION_HEADER, "")
                return None
            if answer.content_type != CONFIG_TYPE:
                self.is_whole = True
                return None
            await self.arrival.read(answer)
        index = self.dropped = self.arrival.index()
        if not self.arrival.is_everything:
            raise ContractError("The gateway asked for everything but got changes.")
        for _ in range(_MOST_QUESTIONS):
            newer = await self._caught_up(index)
            if newer is None:
                return None
            index = self.dropped = newer
            known, state = self._position()
            # Routes may also have changed just now.
            if index.revision == known and index.state != state:
                self.is_other_history = True
                return None
            if index.revision >= known:
                self.dropped = None
                return index
        return None

    async def _caught_up(self, index: Index) -> Index | None:
        """`index` with later changes, which are also added to the copy on disk; None if they are unavailable."""
        self.newest = ""
        async with self._get(query_after(index.revision, index.state)) as answer:
            answer.require_useful()
            if answer.status == 204:
                self._store.verifier.require_nothing_newer(answer)
                self.newest = answer.headers.get(REVISION_HEADER, "")
                return index if self.newest == str(index.revision) else None
            if answer.content_type != CONFIG_TYPE:
                return None
            changes = Arrival(self._store, IndexBuilder(index, is_rebuilt=True))
            await changes.read(answer, only_changes=True)
        if changes.is_everything:
            return None
        newer = changes.index()
        await self.arrival.write(bytes(changes.changes))
        return newer
