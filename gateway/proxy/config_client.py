"""Keeps this gateway's configuration current: long polls, and a copy on disk."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog

from gateway.contract import CONFIG_PATH, REVISION_HEADER, ContractError
from gateway.contract.sealing import PUBLIC_KEY_HEADER
from gateway.contract.signatures import NONCE_HEADER
from gateway.contract.stream import CONFIG_TYPE
from gateway.contract.versions import READABLE, VERSIONS_HEADER, read_snapshot, spoken
from gateway.proxy.backoff import Backoff
from gateway.proxy.config_arrival import Arrival
from gateway.proxy.config_build import IndexBuilder, NarrowingBuilder
from gateway.proxy.config_proof import new_nonce
from gateway.proxy.config_refresh import Everything, query_after
from gateway.proxy.config_reports import ConfigReports, is_unforeseen
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.control import Control, ControlAnswer, Patience
from gateway.proxy.index import Index
from gateway.proxy.metrics import Metrics
from gateway.proxy.records import Keys
from gateway.proxy.vault import Vault

_log = structlog.get_logger()
_POLL_SECONDS = 25
# However slowly an answer comes: 400,000 keys take seconds.
_PATIENCE = Patience(900.0, silence=_POLL_SECONDS + 15.0)
_OLD_NEWS_SECONDS = 2.0
# Then refetch everything: the ledger's `used` numbers age.
_CHANGES_ONLY_SECONDS = 6 * 3600.0
# Calls look up their key at once.
_RETIRED_AFTER_SECONDS = 5.0
# The first and the longest wait.
_REFRESH_AGAIN_SECONDS = 0.5, 60.0


class ConfigClient:
    """Fetches the configuration, puts it in force, keeps it on disk, and has it acknowledged to the control plane."""

    def __init__(
        self,
        control: Control,
        store: ConfigStore,
        apply: Callable[[Index], None],
        reports: ConfigReports,
        metrics: Metrics,
        vault: Vault,
    ) -> None:
        self._control = control
        self._vault = vault
        self._store = store
        self._apply = apply
        self._metrics = metrics
        self._reports = reports
        self._index: Index | None = None
        # This process has received everything.
        self._is_confirmed = False
        self._everything_until = 0.0  # by the monotonic clock
        # The copy from disk has all later changes.
        self._has_caught_up = False
        # Until everything arrives, or shows that the copy has another history.
        self._trusts_copy = True
        # Fetches everything while polling continues.
        self._refreshing: asyncio.Task[None] | None = None
        # The revision and state of a configuration that is arriving, if no changes lead there from our revision.
        self._followed: tuple[int, str] | None = None
        # Changes cannot bring configurations up to this revision up to date.
        self._beyond = 0
        # Anything older would restore what was removed.
        self._narrowed_to = 0
        # Why the last answer that nothing is newer was refused.
        self._doubt = ""
        self._disk = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def _revision(self) -> int:
        return self._index.revision if self._index else 0

    @property
    def _position(self) -> tuple[int, str]:
        """The revision and state up to which we know all changes."""
        return self._followed or (self._revision, self._index.state if self._index else "")

    @property
    def _can_refresh(self) -> bool:
        """Whether the control plane can send us changes while we fetch everything."""
        return self._is_confirmed and self._index is not None and bool(self._index.state)

    def load_from_disk(self) -> None:
        """Put the configuration of an earlier process in force, if there is a readable one."""
        try:
            if (index := self._store.load()) is None:
                return
            self._put(index)
        except Exception as error:
            self._reports.note_error("The snapshot on disk is not usable", error)
            return
        _log.info("config_loaded_from_disk", revision=index.revision, issued_at=index.issued_at)

    async def poll(self) -> None:
        """Ask for newer revisions, forever. A failure only delays the next request."""
        backoff = Backoff()
        while True:
            try:
                await self._ask_once()
            except Exception as error:
                self._metrics.control_up.set(0)
                self._reports.failed(error)
                if is_unforeseen(error):
                    self._is_confirmed = False
                wait = backoff.next_wait()
                _log.warning(
                    "config_not_fetched",
                    reason=f"{type(error).__name__}: {error}",
                    serving_revision=self._revision,
                    again_in_seconds=round(wait, 1),
                )
                await asyncio.sleep(wait)
            else:
                backoff.succeeded()

    async def _ask_once(self) -> None:
        if self._is_confirmed and time.monotonic() > self._everything_until:
            # We are current except for `used`, which the ledger has updated meanwhile.
            if self._can_refresh:
                self._begin_refresh()
            else:
                self._is_confirmed = False
        if not self._can_refresh:
            await self._end_refresh()
        index, followed = self._index, self._followed
        async with self._get(self._question()) as answer:
            self._vault.note(answer.headers)
            if answer.status == 204:
                self._require_nothing_newer(answer)
                self._has_caught_up = True
                self._metrics.control_up.set(1)
                if index is not None and index.snapshot.contract_version < spoken(answer.headers):
                    # It was sent in an older version, which says less: get everything in this one.
                    self._is_confirmed = self._trusts_copy = False
                    return
                newest = answer.headers.get(REVISION_HEADER, "")
                if self._is_behind(newest):
                    # Nobody has ever announced what we followed.
                    await self._end_refresh()
                    await asyncio.sleep(_OLD_NEWS_SECONDS)
                elif newest == str(self._revision):
                    self._confirm_copy()
                return
            answer.require_useful()
            self._has_caught_up = True
            try:
                if answer.content_type == CONFIG_TYPE:
                    await self._receive(answer, index, followed)
                else:
                    await self._end_refresh()
                    await self._receive_whole(await answer.read())
            except ContractError:
                # A complete configuration repairs any such error.
                self._is_confirmed = False
                raise

    def _require_nothing_newer(self, answer: ControlAnswer) -> None:
        """Raises ContractError if somebody else than the console says so. A doubt ends with the next genuine answer."""
        try:
            self._store.verifier.require_nothing_newer(answer)
        except ContractError as error:
            self._doubt = str(error)
            raise
        if self._doubt and self._reports.problem == self._doubt:
            self._reports.forget()
            self._reports.send_soon()
        self._doubt = ""

    def _question(self) -> dict[str, str]:
        if self._is_confirmed:
            return query_after(*self._position, wait_seconds=_POLL_SECONDS)
        if self._index is not None and self._index.state and not self._has_caught_up:
            # Get revocations first: a complete configuration may take seconds to arrive.
            return query_after(*self._position)
        return query_after(0, wait_seconds=_POLL_SECONDS)

    def _get(self, question: dict[str, str]) -> AbstractAsyncContextManager[ControlAnswer]:
        headers = {"accept": f"{CONFIG_TYPE}, application/json", VERSIONS_HEADER: READABLE}
        headers |= {PUBLIC_KEY_HEADER: self._vault.public_key, NONCE_HEADER: new_nonce()}
        return self._control.get(CONFIG_PATH, query=question, headers=headers, patience=_PATIENCE)

    async def _receive_whole(self, body: bytes) -> None:
        """Process a `ConfigSnapshot`."""
        self._store.verifier.require_none_given()
        # Compiling many keys is slow, so it must not block the event loop.
        index = await asyncio.to_thread(lambda: Index(read_snapshot(body)))
        if await self._put_in_force(index, is_everything=True):
            await self._keep(lambda: self._store.keep_whole(body))

    async def _receive(
        self, answer: ControlAnswer, index: Index | None, followed: tuple[int, str] | None
    ) -> None:
        """Process an answer to a request made while `index` was in force and `followed` was arriving."""
        builder = IndexBuilder(index)
        if index is not None and followed is not None:
            builder = NarrowingBuilder(index, followed[0])
        arrival = Arrival(self._store, builder)
        only_changes = self._can_refresh
        try:
            await arrival.read(answer, only_changes=only_changes)
            # A refresh ended meanwhile: ask again from its revision.
            if self._index is not index:
                return
            if only_changes and arrival.is_everything:
                await self._follow(arrival)
            elif isinstance(builder, NarrowingBuilder):
                await self._narrow(builder, arrival)
            elif not await self._put_in_force(arrival.index(), is_everything=arrival.is_everything):
                return
            elif arrival.is_everything:
                await self._keep_everything(arrival)
            else:
                self._confirm_copy()
                await self._keep(lambda: self._add(bytes(arrival.changes)))
        except Exception as error:
            self._reports.failed(error, refused=arrival.revision)
            raise
        finally:
            arrival.close()

    def _confirm_copy(self) -> None:
        """Note that the copy has caught up: it takes changes from now on, while a refresh fetches everything."""
        if self._trusts_copy and self._index is not None and self._index.state:
            self._is_confirmed, self._everything_until = True, 0.0

    async def _follow(self, arrival: Arrival) -> None:
        """Changes are not enough: start fetching everything, and meanwhile ask for later changes."""
        head = arrival.head
        assert head is not None
        self._metrics.control_up.set(1)
        if head.revision <= self._position[0]:
            self._is_behind(str(head.revision))
            await asyncio.sleep(_OLD_NEWS_SECONDS)
            return
        self._followed = head.revision, head.state
        self._beyond = head.revision - 1
        self._begin_refresh()

    async def _narrow(self, builder: NarrowingBuilder, arrival: Arrival) -> None:
        index, head = builder.index(), builder.head
        assert head is not None
        self._metrics.control_up.set(1)
        self._put(index)
        self._followed = head.revision, head.state
        self._narrowed_to = head.revision
        _log.info("config_narrowed", revision=index.revision, by_changes_at=head.revision)
        await self._keep(lambda: self._add(bytes(arrival.changes)))

    def _begin_refresh(self) -> None:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    async def _end_refresh(self) -> None:
        """Cancel a refresh: the poll fetches everything instead."""
        self._followed, self._beyond = None, 0
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
            self._refreshing = None
            # Wait for a write that it has begun.
            async with self._disk:
                pass

    async def _refresh(self) -> None:
        """Fetch everything while polling continues; retry until it is in force."""
        backoff = Backoff(*_REFRESH_AGAIN_SECONDS)
        while True:
            reason = "a newer revision that cannot be sent as changes replaced it"
            try:
                if await self._refresh_once():
                    return
            except Exception as error:  # otherwise nothing would retry
                self._reports.failed(error)
                reason = f"{type(error).__name__}: {error}"
            wait = backoff.next_wait()
            _log.warning(
                "config_not_refreshed",
                reason=reason,
                serving_revision=self._revision,
                again_in_seconds=round(wait, 1),
            )
            await asyncio.sleep(wait)

    async def _refresh_once(self) -> bool:
        """Put an up-to-date complete configuration in force; False if none can be obtained."""
        everything = Everything(self._get, self._store, self._index, self._beyond, lambda: self._position)
        try:
            index = await everything.fetch()
            if index is None:
                # An older control plane sends no changes, or the copy has another history: leave it to the poll.
                is_for_the_poll = everything.is_whole or (self._trusts_copy and everything.is_other_history)
                if is_for_the_poll:
                    self._is_confirmed = self._trusts_copy = False
                self._is_behind(everything.newest)
                return is_for_the_poll
            # No await since the check that it is the newest.
            self._serve(index, is_everything=True)
            await asyncio.shield(self._keep_everything(everything.arrival))
            return True
        except Exception as error:
            self._reports.failed(error, refused=everything.arrival.revision)
            raise
        finally:
            self._retire(everything.dropped)
            everything.arrival.close()

    async def _put_in_force(self, index: Index, *, is_everything: bool) -> bool:
        """Make it the configuration for all calls from now on; False if it is older than the known one."""
        self._metrics.control_up.set(1)
        oldest_news = max(self._revision + self._is_confirmed, self._narrowed_to)
        if is_everything:
            self._note_everything()
        if index.revision < oldest_news:
            self._is_behind(str(index.revision))
            # It answers at once in any case: do not flood it.
            await asyncio.sleep(_OLD_NEWS_SECONDS)
            return False
        self._serve(index, is_everything=is_everything)
        return True

    def _serve(self, index: Index, *, is_everything: bool) -> None:
        before = self._index
        # Before writing to disk: a revocation must not wait for that.
        self._put(index)
        if is_everything:
            self._note_everything()
            self._retire(before)
        self._reports.forget()
        self._followed, self._narrowed_to, self._beyond = None, 0, 0
        _log.info("config_applied", revision=index.revision, keys=len(index.keys), routes=len(index.routes))

    def _put(self, index: Index) -> None:
        """Put it in force, or leave everything as it was and raise whatever went wrong."""
        try:
            self._apply(index)
        except Exception:
            if self._index is not None:
                self._apply(self._index)
            raise
        self._index = index

    def _note_everything(self) -> None:
        self._is_confirmed, self._trusts_copy = True, False
        spread = random.uniform(0.75, 1.25)  # noqa: S311 - so that gateways do not all ask at once
        self._everything_until = time.monotonic() + _CHANGES_ONLY_SECONDS * spread

    async def _keep_everything(self, arrival: Arrival) -> None:
        if arrival.problem:
            self._reports.note(
                f"Revision {self._revision} is active, but cannot be stored on disk: {arrival.problem}"
            )
        else:
            await self._keep(arrival.keep)

    async def _keep(self, write: Callable[[], None]) -> None:
        try:
            # In the order in which they came into force.
            async with self._disk:
                await asyncio.to_thread(write)
        except Exception as error:
            self._reports.note_error(
                f"Revision {self._revision} is active, but cannot be stored on disk", error
            )
        # Acknowledge only what survives a restart.
        self._reports.send_soon()

    def _add(self, changes: bytes) -> None:
        if not self._store.add(changes):
            self._everything_until = 0.0

    def _retire(self, index: Index | None) -> None:
        if index is not None and isinstance(index.keys, Keys):
            task = asyncio.get_running_loop().create_task(
                index.keys.records.retire_slowly(_RETIRED_AFTER_SECONDS)
            )
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _is_behind(self, theirs: str) -> bool:
        """Whether the control plane is behind us because it was restored from an older copy. Reports it if so."""
        ours, _ = self._position
        if not theirs.isdecimal() or int(theirs) >= ours:
            return False
        self._reports.note(
            f"The control plane is at revision {theirs}, this gateway at {ours}: its database "
            f"was probably restored. Raise its revision above {ours}."
        )
        return True
