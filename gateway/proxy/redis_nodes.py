"""The servers that hold the counters: one Redis or Valkey, or the nodes of a cluster.

The first server answers for everything until it says that a slot lives elsewhere: then it is a cluster, and its nodes
say which of them has which slots. All keys of one request have the same hash tag, so one node has them all. While a
slot moves from node to node, neither has all of its keys, and requests wait for the end of the move.
"""

import asyncio
import contextlib
import time
from binascii import crc_hqx
from collections.abc import Callable
from typing import Any

import hiredis
import structlog

from gateway.proxy.redis_address import Access, Address
from gateway.proxy.redis_line import Line, Lost, NotConnected, pack

_log = structlog.get_logger()
_SLOTS = 16384
_TRIES = 2
_MOST_HOPS = 8
# While a slot moves: the first and the longest wait before asking again, and how long a request waits in all.
_MOVING_SECONDS = 0.002, 0.05
_MOVED_WITHIN_SECONDS = 5.0
_LEARN_AGAIN_SECONDS = 0.5
_CLUSTER_SLOTS = pack("CLUSTER", "SLOTS")

# Packs a request, if it may have run before, and with the script's text instead of its digest.
Pack = Callable[[bool, bool], bytes]


class Away(Exception):
    """The server gave no answer. `may_have_run` is False only if the server certainly never got the request."""

    def __init__(self, *, may_have_run: bool) -> None:
        super().__init__()
        self.may_have_run = may_have_run


class Nodes:
    """One line to each server that is needed."""

    def __init__(self, address: Address, access: Access) -> None:
        self._access = access
        self._first = Line(address, access)
        self._lines: dict[Address, Line] = {address: self._first}
        # Of a cluster: who has each slot, as far as we know.
        self._places: list[Address | None] | None = None
        self._learning: asyncio.Task[None] | None = None
        self._learned_at = float("-inf")

    async def ask(self, tag: str, request: Pack, *, may_have_run: bool = False) -> Any:
        """Have a script run by the server that holds the keys with this hash tag, and return its answer.

        A lost connection is tried once again. Raises Away, from the reason.
        """
        line = self._line_of(tag)
        is_asking = is_text = False
        tries = hops = 0
        waiting: _Moving | None = None
        failure: Exception
        while True:
            try:
                return await line.send(request(may_have_run, is_text), is_asking=is_asking)
            except NotConnected as error:
                failure = error
            except Lost as error:
                failure, may_have_run = error, True
            except hiredis.ReplyError as error:
                failure = error
                kind, _, rest = str(error).partition(" ")
                if kind == "NOSCRIPT" and not is_text:
                    is_text = True
                    continue
                if kind in ("MOVED", "ASK") and hops < _MOST_HOPS:
                    hops += 1
                    is_asking, is_text = kind == "ASK", False
                    line = self._redirected(rest, line.address, has_moved=kind == "MOVED")
                    continue
                if kind == "TRYAGAIN":
                    waiting = waiting or _Moving()
                    if await waiting.is_worth_another_try():
                        line, is_asking, hops = self._line_of(tag), False, 0
                        continue
                else:
                    # A script that failed may have written before.
                    may_have_run = may_have_run or kind not in ("MOVED", "ASK", "CLUSTERDOWN")
            tries += 1
            self._learn_soon()
            if tries >= _TRIES:
                raise Away(may_have_run=may_have_run) from failure
            line, is_asking = self._line_of(tag), False

    async def close(self) -> None:
        """Close all connections; waiting requests get an error."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait([self._learning])
        for line in list(self._lines.values()):
            await line.close()

    def _line_of(self, tag: str) -> Line:
        if self._places is None:
            return self._first
        place = self._places[slot_of(tag)]
        return self._first if place is None else self._line_to(place)

    def _line_to(self, place: Address) -> Line:
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = Line(place, self._access)
        return line

    def _redirected(self, rest: str, near: Address, *, has_moved: bool) -> Line:
        """The line to the node that `<slot> <host>:<port>` names, which has the slot for good or is getting it."""
        slot, _, place = rest.partition(" ")
        address = Address.read(place, near)
        if has_moved:
            if self._places is None:
                self._places = [None] * _SLOTS
            self._places[int(slot)] = address
            self._learn_soon()
        return self._line_to(address)

    def _learn_soon(self) -> None:
        """Ask in the background which node has which slots, if this is a cluster."""
        if self._places is None or self._learning is not None:
            return
        if time.monotonic() - self._learned_at < _LEARN_AGAIN_SECONDS:
            return
        self._learned_at = time.monotonic()
        self._learning = asyncio.create_task(self._learn())
        self._learning.add_done_callback(self._has_learned)

    def _has_learned(self, task: asyncio.Task[None]) -> None:
        self._learning = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("limits_cluster_not_understood", reason=f"{type(error).__name__}: {error}")

    async def _learn(self) -> None:
        """Take the slots from the first node that answers, and close lines to nodes that have none anymore."""
        for line in list(self._lines.values()):
            with contextlib.suppress(NotConnected, Lost, hiredis.ReplyError):
                places = _places_in(await line.send(_CLUSTER_SLOTS), line.address)
                break
        else:
            return
        self._places = places
        in_use = {place for place in places if place is not None} | {self._first.address}
        for address in self._lines.keys() - in_use:
            await self._lines.pop(address).close()
        _log.info("limits_cluster_learned", nodes=len({*places} - {None}))


class _Moving:
    """The waits of one request while its slot moves, each longer than the one before."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _MOVED_WITHIN_SECONDS
        self._seconds, self._longest = _MOVING_SECONDS

    async def is_worth_another_try(self) -> bool:
        """Wait; False at once if it has waited long enough."""
        if time.monotonic() >= self._until:
            return False
        await asyncio.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, self._longest)
        return True


def slot_of(tag: str) -> int:
    """The slot of all keys that have this hash tag."""
    return crc_hqx(tag.encode(), 0) % _SLOTS


def _places_in(answer: Any, near: Address) -> list[Address | None]:
    """The node of each slot in an answer to CLUSTER SLOTS; None where there is none."""
    places: list[Address | None] = [None] * _SLOTS
    for first, last, main, *_ in answer:
        host = (main[0] or b"").decode()
        place = Address(near.host if host in ("", "?") else host, main[1])
        places[first : last + 1] = [place] * (last + 1 - first)
    return places
