"""Ask targets whether they answer, beside calls, so that no caller has to find out.

A probe is a GET of the target's list of models, which costs nothing to produce. It says that a server runs there, and
nothing about its answers to calls. So it brings back a target that could not be reached, and leaves one whose answers
failed to the next call. It never changes weight or order.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Literal

import structlog

from deployments.providers.dialects import models_url_of
from gateway.contract import SettingsConfig
from gateway.proxy.connections import Connections
from gateway.proxy.http.errors import NoRoom, TransportError
from gateway.proxy.index import Backend, Index, Route
from gateway.proxy.outgoing import trust_of
from gateway.proxy.routing import Router
from gateway.proxy.vault import NoCredential, Vault

_log = structlog.get_logger()
Result = Literal["up", "down", "unknown"]

_LOOK_SECONDS = 0.5
# Between two probes of one address, half of it more or less.
_EJECTED_SECONDS = 2.0
_IDLE_SECONDS = 15.0
_ANSWER_SECONDS = 5.0
_MOST_AT_ONCE = 4
_DOWN = (502, 503, 504, 529)


class Prober:
    """Probes what the routes of the configuration in force ask for, at most four addresses at once.

    Targets at one address, such as the models of a provider, share a probe.

    Args:
        connections: over which probes go, with the checks that calls get.
        router: says which targets are ejected or idle, and learns.
        vault: the credentials of providers.
        index: the configuration in force.
        clock: in seconds.
        chance: a number from 0 to below 1, another one each time.
    """

    def __init__(
        self,
        connections: Connections,
        router: Router,
        vault: Vault,
        index: Callable[[], Index | None],
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._connections = connections
        self._router = router
        self._vault = vault
        self._index = index
        self._clock = clock
        self._chance = chance
        self._routes: Mapping[str, Route] = {}
        self._probed: list[tuple[Backend, bool]] = []
        # By address, when it was asked last, and the jitter of the next wait.
        self._asked: dict[str, tuple[float, float]] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look what to probe, again and again. Never returns."""
        try:
            while True:
                await asyncio.sleep(_LOOK_SECONDS * self._jitter())
                self.look()
        finally:
            for task in self._under_way.values():
                task.cancel()

    def look(self) -> None:
        """Begin the probes that are due now."""
        index = self._index()
        if index is None:
            return
        if index.routes is not self._routes:
            self._follow(index.routes)
        now = self._clock()
        places: dict[str, list[Backend]] = defaultdict(list)
        for backend, is_idle_too in self._probed:
            if self._router.is_ejected(backend):
                is_due = self._is_due(backend.url, now, _EJECTED_SECONDS)
            else:
                is_due = is_idle_too and self._is_due(backend.url, now, _IDLE_SECONDS)
            if is_due:
                places[backend.url].append(backend)
        for url, backends in places.items():
            if url in self._under_way or len(self._under_way) >= _MOST_AT_ONCE:
                continue
            self._asked[url] = now, self._jitter()
            asked = [one for one in backends if self._router.is_ejected(one) or self._router.was_idle(one)]
            if asked:
                self._under_way[url] = asyncio.create_task(self._probe(asked, index.settings))

    def _follow(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._probed = [
            (backend, backend.probes == "idle")
            for route in routes.values()
            for group in route.groups
            for backend in group
            if backend.probes != "off"
        ]
        known = {backend.url for backend, _ in self._probed}
        self._asked = {url: asked for url, asked in self._asked.items() if url in known}
        now = self._clock()
        for backend, is_idle_too in self._probed:
            if is_idle_too:
                # Not all of them at once after a start.
                self._asked.setdefault(backend.url, (now - _IDLE_SECONDS * self._chance(), 1.0))

    def _jitter(self) -> float:
        return 0.5 + self._chance()

    def _is_due(self, url: str, now: float, seconds: float) -> bool:
        asked = self._asked.get(url)
        return asked is None or asked[0] + seconds * asked[1] <= now

    async def _probe(self, backends: list[Backend], settings: SettingsConfig) -> None:
        """Ask the address of these targets, and tell the router."""
        try:
            result = await self._ask(backends[0], settings)
            for backend in backends:
                self._router.probed(backend, result)
        finally:
            del self._under_way[backends[0].url]

    async def _ask(self, backend: Backend, settings: SettingsConfig) -> Result:
        provider, dialect = backend.config.provider, backend.dialect
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        url, trust = f"{backend.url}/models", None
        try:
            if provider is not None and dialect is not None:
                url = models_url_of(dialect, backend.url, version=provider.api_version)
                if not url:
                    return "unknown"
                headers |= {**dialect.headers, **provider.headers}
                if (auth := self._vault.header(dialect, backend.id, provider.credentials)) is not None:
                    headers[auth[0]] = auth[1]
                trust = trust_of(provider.private_ca, provider.proxy_url, tuple(settings.allowed_networks))
            status = await self._connections.look(
                url,
                headers=headers,
                connect_seconds=backend.connect_seconds(settings),
                response_seconds=_ANSWER_SECONDS,
                trust=trust,
            )
        except (NoRoom, NoCredential):
            return "unknown"
        except (TransportError, TimeoutError):
            return "down"
        except ValueError:
            # A header that cannot be sent.
            return "unknown"
        if status // 100 == 2:
            return "up"
        return "down" if status in _DOWN else "unknown"
