"""A stand-in for the control plane: it speaks gateway/contract/ over HTTP and keeps what it is told in memory.

It can go away, and refuse what it is told to.
"""

import asyncio
import contextlib
import os
import threading

from aiohttp import web

from core.secrets import GATEWAY_TOKEN, new_secret
from gateway.contract import (
    CONFIG_PATH,
    CONTRACT_VERSION,
    REVISION_HEADER,
    USAGE_PATH,
    Ack,
    ContractError,
    UsageBatch,
    UsageReceipt,
    decode,
    encode,
)
from gateway.contract.refusals import REFUSALS_PATH, RefusalBatch
from gateway.contract.sealing import KEY_BYTES, PUBLIC_KEY_HEADER, SEALED_KEY_HEADER, seal_key
from gateway.contract.versions import VERSION_HEADER, Downgrade
from launcher.ports import free_port
from tests.gateway.eventually import wait_until


class StandInControlPlane:
    """The control plane's three entry points, in a thread of the test."""

    def __init__(self):
        self.port = free_port()
        self.token = new_secret(GATEWAY_TOKEN)
        self.snapshot = None
        self.events = {}  # call id -> event
        # Every event, as often as it came.
        self.deliveries = []
        # Models whose events are refused for ever.
        self.poisoned = set()
        # Answer this instead of taking usage.
        self.usage_status = None
        self.turned_away = 0
        self.sends_old_revisions = False
        # The version of the contract in which it sends configuration.
        self.speaks = CONTRACT_VERSION
        # Under which credentials of providers are sealed in it.
        self.credential_key = os.urandom(KEY_BYTES)
        self.acks = []
        # Batches of reports about refused calls.
        self.refusals = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._runner = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def up(self):
        self._run(self._up())

    def down(self):
        self._run(self._runner.cleanup())

    def publish(self, snapshot):
        self._run(self._publish(snapshot))

    def acked(self, revision):
        def is_known():
            return any(ack.revision >= revision for ack in self.acks[-5:])

        wait_until(is_known, what=f"the ack of {revision}")

    def close(self):
        with contextlib.suppress(Exception):
            self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _up(self):
        self._changed = asyncio.Condition()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get(CONFIG_PATH, self._config)
        app.router.add_post("/internal/v1/gateways/{gateway}/ack", self._ack)
        app.router.add_post(USAGE_PATH, self._usage)
        app.router.add_post(REFUSALS_PATH, self._refusals)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def _publish(self, snapshot):
        self.snapshot = snapshot
        async with self._changed:
            self._changed.notify_all()

    def _is_known(self, request):
        return request.headers.get("authorization") == f"Bearer {self.token}"

    async def _config(self, request):
        if not self._is_known(request):
            return web.Response(status=401)
        after, wait = int(request.query["after"]), float(request.query["wait"])
        if self.snapshot and self.snapshot.revision < after:
            wait = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait), self._changed:
                await self._changed.wait_for(lambda: self.snapshot and self.snapshot.revision > after)
        revision = self.snapshot.revision if self.snapshot else 0
        headers = {REVISION_HEADER: str(revision), VERSION_HEADER: str(self.speaks)}
        if public := request.headers.get(PUBLIC_KEY_HEADER):
            headers[SEALED_KEY_HEADER] = seal_key(self.credential_key, public)
        if revision <= after and not self.sends_old_revisions:
            return web.Response(status=204, headers=headers)
        snapshot = self.snapshot
        if self.speaks == 1:
            snapshot = Downgrade(snapshot.routes).snapshot(snapshot)
        return web.Response(body=encode(snapshot), content_type="application/json", headers=headers)

    async def _ack(self, request):
        if not self._is_known(request):
            return web.Response(status=401)
        self.acks.append(decode(Ack, await request.read()))
        return web.Response(status=204)

    async def _refusals(self, request):
        if not self._is_known(request):
            return web.Response(status=401)
        self.refusals.append(decode(RefusalBatch, await request.read()))
        return web.Response(status=204)

    async def _usage(self, request):
        if not self._is_known(request):
            return web.Response(status=401)
        if self.usage_status:
            self.turned_away += 1
            return web.Response(status=self.usage_status)
        try:
            batch = decode(UsageBatch, await request.read())
        except ContractError as error:
            return _problem(400, str(error))
        if any(event.model in self.poisoned for event in batch.events):
            return _problem(422, "this model is poison")
        recorded = 0
        for event in batch.events:
            assert self.events.get(event.call_id, event) == event, "the same call with another content"
            recorded += event.call_id not in self.events
            self.events[event.call_id] = event
            self.deliveries.append(event)
        receipt = UsageReceipt(recorded=recorded, repeated=len(batch.events) - recorded, quarantined=0)
        return web.Response(body=encode(receipt), content_type="application/json")


def _problem(status, detail):
    return web.json_response({"detail": detail}, status=status, content_type="application/problem+json")
