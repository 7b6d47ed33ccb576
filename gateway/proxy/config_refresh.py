"""Everything, fetched while the configuration in force is kept current by changes, and made current itself."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import aiohttp

from gateway.config_stream import CONFIG_TYPE
from gateway.contract import REVISION_HEADER, ContractError
from gateway.proxy.config_arrival import Arrival
from gateway.proxy.config_build import IndexBuilder
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.index import Index

# For what changed since: each is answered within milliseconds.
_MOST_QUESTIONS = 100
Query = dict[str, str]
# A revision and its state.
Position = tuple[int, str]


def query_after(revision: int, state: str = "", *, wait_seconds: int = 0) -> Query:
    """What to ask for: what is newer than `revision`; without a state everything."""
    query = {"after": str(revision), "wait": str(wait_seconds)}
    return {**query, "state": state} if state else query


class Everything:
    """One fetch of everything. Whoever makes one closes its `arrival`, and retires what was `dropped`.

    Everything is as of some revision, and by the time it has come there are newer ones. What changed since is asked of
    the control plane, not remembered here: only there it is known whether both are of the same history.

    Args:
        get: asks the control plane.
        before: of which everything reuses what is the same.
        beyond: a revision; everything of it or before could not be brought up to date.
        position: what is known now of changes. Nothing older may be put in force.
    """

    def __init__(
        self,
        get: Callable[[Query], AbstractAsyncContextManager[aiohttp.ClientResponse]],
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
        # A control plane that knows no changes has answered.
        self.is_whole = False
        # What is known has this revision, too, and another state.
        self.is_other_history = False
        # Revision of a control plane that has nothing newer than we.
        self.newest = ""

    async def fetch(self) -> Index | None:
        """Everything, as new as `position` at this very moment; None if it could not be brought up to date.

        Raises ContractError and aiohttp.ClientError. Nothing is in force, and nothing but a draft on disk.
        """
        async with self._get(query_after(self._beyond)) as answer:
            answer.raise_for_status()
            if answer.status == 204:
                self.newest = answer.headers.get(REVISION_HEADER, "")
                return None
            if answer.content_type != CONFIG_TYPE:
                self.is_whole = True
                return None
            await self.arrival.read(answer.content)
        index = self.dropped = self.arrival.index()
        if not self.arrival.is_everything:
            raise ContractError("The gateway asked for everything but got changes.")
        for _ in range(_MOST_QUESTIONS):
            newer = await self._caught_up(index)
            if newer is None:
                return None
            index = self.dropped = newer
            known, state = self._position()
            # Or routes changed this moment.
            if index.revision == known and index.state != state:
                self.is_other_history = True
                return None
            if index.revision >= known:
                self.dropped = None
                return index
        return None

    async def _caught_up(self, index: Index) -> Index | None:
        """`index` with what changed since, also in the copy on disk; None if that cannot be told."""
        self.newest = ""
        async with self._get(query_after(index.revision, index.state)) as answer:
            answer.raise_for_status()
            if answer.status == 204:
                self.newest = answer.headers.get(REVISION_HEADER, "")
                return index if self.newest == str(index.revision) else None
            if answer.content_type != CONFIG_TYPE:
                return None
            changes = Arrival(self._store, IndexBuilder(index, is_rebuilt=True))
            await changes.read(answer.content, only_changes=True)
        if changes.is_everything:
            return None
        newer = changes.index()
        await self.arrival.write(bytes(changes.changes))
        return newer
