"""Takes whichever of a name's addresses answers first ("happy eyeballs", RFC 8305).

An address that drops packets says neither yes nor no for minutes. While one is silent, the next is therefore tried too.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, zip_longest
from time import monotonic
from typing import Final, TypeAlias, TypeVar

# What an attempt opens: a socket, or a connection.
Opened = TypeVar("Opened")
_HEAD_START_SECONDS: Final = 0.25
# Then those that were silent get another chance.
_REMEMBERED_SECONDS: Final = 600.0
_MOST_REMEMBERED: Final = 1000
# A name and a port.
Place: TypeAlias = tuple[str, int]


def head_start_within(seconds: float) -> float:
    """Seconds before the next address is tried, if all have so many together: soon enough for a silent one."""
    return min(_HEAD_START_SECONDS, seconds / 4)


async def first_to_answer(
    addresses: Sequence[str],
    attempt: Callable[[str], Awaitable[Opened]],
    close: Callable[[Opened], object],
    *,
    head_start: float = _HEAD_START_SECONDS,
) -> Opened:
    """Return what the first successful attempt opened. Other attempts are cancelled, and what they opened is closed.

    Args:
        addresses: IP addresses, the preferred one first. The two families take turns.
        attempt: opens something at an address. If cancelled, it closes what it has begun.
        close: closes what came too late.
        head_start: seconds before the next address is tried as well; sooner if one fails.

    Raises:
        OSError: all failed; the error of the last one, or that there is no address.
        Exception: whatever else an attempt raises ends all.
    """
    if len(addresses) == 1:
        return await attempt(addresses[0])

    async def tried(address: str) -> Opened:
        return await attempt(address)

    def forget(task: asyncio.Task[Opened]) -> None:
        if not task.cancelled() and task.exception() is None:
            close(task.result())

    waiting = _families_in_turn(addresses)
    tasks: list[asyncio.Task[Opened]] = []
    pending: set[asyncio.Task[Opened]] = set()
    failure: OSError = OSError("the name has no address")
    try:
        while waiting or pending:
            if waiting:
                tasks.append(asyncio.create_task(tried(waiting.pop(0))))
                pending.add(tasks[-1])
            done, pending = await asyncio.wait(
                pending, timeout=head_start if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                try:
                    opened = task.result()
                except OSError as error:
                    failure = error
                    continue
                tasks.remove(task)
                return opened
        raise failure
    finally:
        for task in tasks:
            task.cancel()
            task.add_done_callback(forget)


class Answered:
    """Remembers for ten minutes which address of a place answered while the first was silent, or refused.

    It only orders addresses that were looked up and checked anew; it never adds one. Where the first address answers,
    nothing is remembered, so the order of the name server still spreads connections.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        """`clock` counts seconds."""
        self._clock = clock
        # Until when, and the address.
        self._known: dict[Place, tuple[float, str]] = {}

    def ordered(self, place: Place, addresses: Sequence[str]) -> list[str]:
        """The same addresses, with the one that answered in front."""
        until, answered = self._known.get(place, (0.0, ""))
        if answered not in addresses or self._clock() >= until:
            return list(addresses)
        return [answered, *(one for one in addresses if one != answered)]

    def note(self, place: Place, tried: Sequence[str], answered: str) -> None:
        """Note which of the tried addresses answered. The time of one that is known already is not extended."""
        if answered == tried[0]:
            return
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[place] = (self._clock() + _REMEMBERED_SECONDS, answered)


async def connected(address: str, port: int) -> socket.socket:
    """A TCP connection to an IP address. Raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _families_in_turn(addresses: Sequence[str]) -> list[str]:
    """The addresses with IPv6 and IPv4 in turn, so that a network without one of them costs one head start."""
    preferred = [one for one in addresses if (":" in one) == (":" in addresses[0])]
    others = [one for one in addresses if one not in preferred]
    return [one for one in chain.from_iterable(zip_longest(preferred, others)) if one is not None]
