"""A backend that says exactly what a test tells it to, and remembers what it was asked."""

import asyncio
import contextlib
import itertools
import json
import threading

import orjson
from aiohttp import web

from gateway.contract import RouteConfig
from tests.gateway.proxy_fixtures import free_port
from tests.gateway.targets import target

USAGE = {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18}
OWN_NAME = "up-scripted"
STREAM = {"content-type": "text/event-stream"}


def plain(**changes):
    """A whole chat answer."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "hi there friend"},
        "finish_reason": "stop",
    }
    whole = {"id": "x", "object": "chat.completion", "model": OWN_NAME, "choices": [choice], "usage": USAGE}
    return {**whole, **changes}


def chunk(text="word ", **changes):
    """One chunk of a stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": OWN_NAME,
        "choices": [choice],
    } | changes


def spoken(index, text="word ", reason=None):
    """A piece of the choice `index`."""
    return {"id": "c", "choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]}


_numbers = itertools.count(1)


class ScriptedBackend:
    """`says` sets the answer to every call from now on; `asked` holds (headers, body) of each call."""

    def __init__(self, name="scripted"):
        self.port = free_port()
        # A port may come again in the life of a gateway that several tests share; its metrics go by id.
        self.id = f"{name}-{self.port}-{next(_numbers)}"
        self.asked = []
        # Of each call, without the query.
        self.paths = []
        # (path, headers) of each GET, which is answered with `list_status`.
        self.looked = []
        self.list_status = 200
        self.methods = []
        self._answer = (200, {}, [orjson.dumps(plain())])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._up(), self._loop).result(60)

    def says(self, content=None, *, status=200, headers=None, events=None):
        """An answer: JSON of `content` (bytes as they are), or a stream of `events` (bytes as they are; a number is
        a wait in seconds; None breaks the connection).
        """
        if events is not None:
            pieces = [
                one if isinstance(one, bytes | float | None) else b"data: " + orjson.dumps(one) + b"\n\n"
                for one in events
            ]
            self._answer = (status, STREAM | (headers or {}), pieces)
        else:
            body = content if isinstance(content, bytes) else orjson.dumps(content)
            self._answer = (status, {"content-type": "application/json"} | (headers or {}), [body])

    def backend(self, **changes):
        fields = {"id": self.id, "url": f"http://127.0.0.1:{self.port}/v1", "upstream_model": OWN_NAME}
        return target(**{**fields, **changes})

    def go_down(self):
        """Refuse connections until `come_up`."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(60)

    def come_up(self):
        """Listen on the same port again."""
        asyncio.run_coroutine_threadsafe(self._up(), self._loop).result(60)

    def close(self):
        """Go away. Safe to repeat."""
        if self._loop.is_running():
            self._close()

    def _close(self):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    async def _up(self):
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/responses/{path:.*}", self._serve)
        app.router.add_delete("/v1/{path:.*}", self._serve)
        app.router.add_post("/v1/{path:.*}", self._serve)
        app.router.add_get("/v1/{path:.*}", self._list)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def _list(self, request):
        self.looked.append((request.path_qs, dict(request.headers)))
        return web.json_response({"object": "list", "data": [{"id": OWN_NAME}]}, status=self.list_status)

    async def _serve(self, request):
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        # A form is kept as it came.
        self.asked.append((headers, raw if b"form-data" in raw[:200] else json.loads(raw or b"null")))
        self.paths.append(request.path)
        self.methods.append(request.method)
        status, headers, pieces = self._answer
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # whoever asked has gone
            for piece in pieces:
                if piece is None:
                    request.transport.abort()
                    return response
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                else:
                    await response.write(piece)
            await response.write_eof()
        return response


@contextlib.contextmanager
def scripted_backend(rig, model, **fields):
    """Serve `model` from a backend of its own meanwhile; its `key` may call it. `fields` are those of the route."""
    backend = ScriptedBackend()
    backend.key = add_route(rig, model, backend.backend(), **fields)
    yield backend
    rig.routes = [route for route in rig.routes if route.model != model]
    rig.publish()
    backend.close()


def add_route(rig, model, *backends, **fields):
    """Serve `model` from `backends` on a rig; return a key for it."""
    rig.routes = [route for route in rig.routes if route.model != model]
    fields = {"modes": ["chat", "embedding"], **fields}
    rig.routes.append(RouteConfig(model=model, targets=list(backends), **fields))
    return rig.new_key(models=[model])
