"""A control plane for the gateway's benchmark, in its own process: any number of keys, and only counts of usage."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from benchmarks.config_load import ISSUED_AT, NEVER_ENDS, everything
from benchmarks.gateway_ways import KINDS
from gateway.contract import (
    CONFIG_PATH,
    REVISION_HEADER,
    USAGE_PATH,
    PriceConfig,
    RouteConfig,
    SettingsConfig,
    TargetConfig,
    UsageReceipt,
    digest,
    encode,
)
from gateway.contract.config import CONTRACT_VERSION
from gateway.contract.stream import (
    CONFIG_TYPE,
    ConfigEnd,
    ConfigHead,
    ConfigPart,
    ConfigRecords,
    ConfigRouting,
    KeyRecord,
    LimitSetting,
    LimitsRecord,
    ProjectRecord,
    TenantRecord,
    pack,
)
from gateway.contract.versions import VERSION_HEADER

MODEL = "bench"
_STATE = "benchmark"
_PROJECT = "01890b1c-2d3e-7f40-8a5b-6c7d8e9f0a1d"
_TENANT = "01890b1c-2d3e-7f40-8a5b-6c7d8e9f0a1b"
# No address of this machine: a key that may be used from here only is refused.
_ELSEWHERE = "192.0.2.0/24"


class _Event(msgspec.Struct):
    """What is counted of a call."""

    call_id: str
    status: str


class _Batch(msgspec.Struct):
    events: list[_Event]


_read_batch = msgspec.json.Decoder(_Batch).decode


@dataclass
class Console:
    """One configuration whose only change is whether its second key may be used from this machine. Its first key has
    limits.
    """

    middle: bytes
    keys: list[KeyRecord]
    revision: int = 1
    is_open: bool = True
    # Calls by status, each once.
    calls: dict[str, str] = field(default_factory=dict)
    deliveries: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def changing_key(self) -> KeyRecord:
        """The second key as it is now."""
        return msgspec.structs.replace(self.keys[1], networks=[] if self.is_open else [_ELSEWHERE])

    def message(self, after: int | None) -> bytes:
        """Everything, or the change since the revision `after`."""
        head = ConfigHead(
            revision=self.revision,
            issued_at=ISSUED_AT,
            after=after,
            state=_STATE,
            settings=SettingsConfig(),
        )
        keys = [self.changing_key()] if after else [self.keys[0], self.changing_key()]
        limits = [] if after else [_limits_on(self.keys[0])]
        middle = b"" if after else self.middle
        first, last = [head, ConfigRecords(keys=keys, limits=limits)], [ConfigEnd(revision=self.revision)]
        return pack(first) + middle + pack(last)

    async def config(self, request: web.Request) -> web.StreamResponse:
        after, wait = int(request.query["after"]), float(request.query["wait"])
        is_known = request.query.get("state") == _STATE
        if is_known:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait), self.changed:
                    await self.changed.wait_for(lambda: self.revision > after)
        headers = {REVISION_HEADER: str(self.revision), VERSION_HEADER: str(CONTRACT_VERSION)}
        if is_known and self.revision <= after:
            return web.Response(status=204, headers=headers)
        is_next = is_known and after == self.revision - 1
        body = self.message(after if is_next else None)
        return web.Response(body=body, content_type=CONFIG_TYPE, headers=headers)

    async def acknowledged(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=204)

    async def usage(self, request: web.Request) -> web.Response:
        events = _read_batch(await request.read()).events
        known = len(self.calls)
        self.calls.update((event.call_id, event.status) for event in events)
        self.deliveries += len(events)
        recorded = len(self.calls) - known
        receipt = UsageReceipt(recorded=recorded, repeated=len(events) - recorded, quarantined=0)
        return web.Response(body=encode(receipt), content_type="application/json")

    async def change(self, request: web.Request) -> web.Response:
        """Open or close the second key."""
        async with self.changed:
            self.is_open = not self.is_open
            self.revision += 1
            self.changed.notify_all()
        return web.json_response({"is_open": self.is_open})

    async def counts(self, request: web.Request) -> web.Response:
        statuses: dict[str, int] = {}
        for status in self.calls.values():
            statuses[status] = statuses.get(status, 0) + 1
        return web.json_response({"calls": len(self.calls), "deliveries": self.deliveries, **statuses})


def _limits_on(key: KeyRecord) -> LimitsRecord:
    """One limit of each kind, which are never reached."""
    limits = [
        LimitSetting(id=f"01890b1c-2d3e-7f40-8a5c-{number:012x}", kind=kind, value=10**15)
        for number, kind in enumerate(KINDS)
    ]
    return LimitsRecord(scope="key", scope_id=key.key_id, limits=limits, time_zone="Europe/Berlin")


def _serve(port: int, keys: int, secrets: list[str], upstream_port: int) -> None:
    asyncio.run(_serve_forever(port, keys, secrets, upstream_port))


async def _serve_forever(port: int, keys: int, secrets: list[str], upstream_port: int) -> None:
    own = [
        KeyRecord(
            digest=digest(secret),
            key_id=f"01890b1c-2d3e-7f40-8a5b-{number:012x}",
            prefix=secret[:8],
            project_id=_PROJECT,
            models=[MODEL],
        )
        for number, secret in enumerate(secrets)
    ]
    console = Console(_middle(keys, upstream_port), own)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_get(CONFIG_PATH, console.config)
    app.router.add_post("/internal/v1/gateways/{gateway}/ack", console.acknowledged)
    app.router.add_post(USAGE_PATH, console.usage)
    app.router.add_post("/change", console.change)
    app.router.add_get("/counts", console.counts)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def _middle(keys: int, upstream_port: int) -> bytes:
    """All records but our two keys, and the routes, as they are sent."""
    target = TargetConfig(id="bench", addresses=[f"http://127.0.0.1:{upstream_port}/v1"], upstream_model="up")
    parts: list[ConfigPart] = [
        ConfigRecords(
            tenants=[TenantRecord(id=_TENANT, slug="bench")],
            projects=[
                ProjectRecord(id=_PROJECT, slug="bench", tenant_id=_TENANT, grant_ends={MODEL: NEVER_ENDS})
            ],
        ),
        ConfigRouting(
            routes=[RouteConfig(model=MODEL, modes=["chat"], targets=[target])],
            prices=[PriceConfig(model=MODEL, nano_per_unit={"input": 1000, "output": 4000})],
        ),
    ]
    sent = bytearray(pack(parts))
    for part in everything(keys):
        if isinstance(part, ConfigRecords):
            sent += pack([part])
    return bytes(sent)


@contextlib.contextmanager
def console(keys: int, secrets: list[str], upstream_port: int) -> Iterator[Any]:
    """A control plane with so many keys, and two of ours, while the block runs. It has `url`, `port` and `token`."""
    from core.secrets import GATEWAY_TOKEN, new_secret
    from launcher.ports import free_port
    from tests.gateway.proxy_fixtures import wait_until

    port = free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(port, keys, secrets, upstream_port), daemon=True
    )
    process.start()
    try:
        wait_until(lambda: _is_up(port), 300, "the control plane")
        yield _Address(port, f"http://127.0.0.1:{port}", new_secret(GATEWAY_TOKEN))
    finally:
        process.terminate()
        process.join(10)


@dataclass(frozen=True)
class _Address:
    port: int
    url: str
    token: str


def _is_up(port: int) -> bool:
    import requests

    with contextlib.suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/counts", timeout=5).status_code == 200
    return False
