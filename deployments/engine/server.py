"""The demo engine's HTTP side: OpenAI's paths, bodies and errors."""

import asyncio
import base64
import hmac
import os
import struct
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from deployments.engine import faults
from deployments.engine.tokens import PrefixCache, prompt_tokens, tokenize
from deployments.engine.words import answer, cut_at_stop, embedding

# GET /v1/models shows when a model was created; ours never changes.
CREATED = 1_760_000_000
_DEFAULT_MAX_TOKENS = 256


@dataclass(frozen=True)
class Options:
    """How an engine behaves. Times are milliseconds; `fail_rate` is the share of calls that get a 503.

    With an `api_key`, it answers nobody else, as a provider does. With `any_model`, it answers under every name.
    """

    model: str
    any_model: bool = False
    latency_ms: int = 0
    token_ms: int = 0
    fail_rate: float = 0.0
    dimensions: int = 256
    allow_faults: bool = False
    api_key: str = ""


class Engine:
    """One demo model behind OpenAI's API."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.faults = faults.Faults(allowed=options.allow_faults, fail_rate=options.fail_rate)
        self._cache = PrefixCache()
        self._seen: dict[str, Any] = {"calls": 0, "finished": 0, "aborted": 0, "last": None}

    def application(self) -> web.Application:
        """The server, ready to run."""
        middlewares = [_openai_errors, *([self.require_key] if self.options.api_key else [])]
        app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=middlewares)
        app.router.add_get("/health", self.health)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/embeddings", self.embeddings)
        if self.options.allow_faults:
            app.router.add_post("/faults", self.plan_faults)
            app.router.add_get("/seen", self.seen)
        return app

    @web.middleware
    async def require_key(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """401 for calls without the key; anybody may ask for the health."""
        given = request.headers.get("authorization", "")
        if request.path != "/health" and not hmac.compare_digest(given, f"Bearer {self.options.api_key}"):
            raise web.HTTPUnauthorized(text="Incorrect API key provided.")
        answered: web.StreamResponse = await handler(request)
        return answered

    async def health(self, request: web.Request) -> web.Response:
        """200 as soon as the engine can answer calls."""
        return _json({"status": "ok", "model": self.options.model})

    async def models(self, request: web.Request) -> web.Response:
        """The one model that this engine serves."""
        model = {"id": self.options.model, "object": "model", "created": CREATED, "owned_by": "quartermaster"}
        return _json({"object": "list", "data": [model]})

    async def plan_faults(self, request: web.Request) -> web.Response:
        """Let the next calls fail."""
        body = orjson.loads(await request.read())
        self.faults.plan(faults.parse(body["fault"]), int(body.get("calls", 1)))
        return _json({})

    async def seen(self, request: web.Request) -> web.Response:
        """What has arrived so far, for tests of what a gateway passes on."""
        return _json(self._seen)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions, plain or streamed."""
        body, fault = await self._begin(request)
        messages = _messages(body)
        if body.get("n") not in (None, 1):
            raise BadRequest("This engine gives one choice: omit n, or set it to 1.", "n")
        max_tokens = _max_tokens(body)
        prompt = prompt_tokens(messages)
        cached = self._cache.match_and_store(prompt, _cache_salt(body))
        words, stopped = cut_at_stop(answer(self.options.model, prompt), _stops(body))
        finish_reason = "stop" if stopped or len(words) <= max_tokens else "length"
        words = words[:max_tokens]
        usage = {
            "prompt_tokens": len(prompt),
            "completion_tokens": len(words),
            "total_tokens": len(prompt) + len(words),
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }
        frame = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": body["model"],
        }
        if body.get("stream"):
            wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            reported = usage if wants_usage and fault.kind != "no-usage" else None
            return await self._stream(request, frame, words, finish_reason, reported, fault)
        await asyncio.sleep(self.options.token_ms * len(words) / 1000)
        await self._stumble(request, fault, len(words))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(words)},
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        reply: dict[str, Any] = {**frame, "object": "chat.completion", "choices": [choice], "usage": usage}
        if fault.kind == "no-usage":
            del reply["usage"]
        self._seen["finished"] += 1
        return _json(reply)

    async def embeddings(self, request: web.Request) -> web.Response:
        """POST /v1/embeddings for a text or a list of texts; vectors have length 1."""
        body, fault = await self._begin(request)
        texts = [body["input"]] if isinstance(body.get("input"), str) else body.get("input")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise BadRequest(
                "Send `input` as a text or a list of texts; this engine does not accept token ids.", "input"
            )
        dimensions = body.get("dimensions") or self.options.dimensions
        if not isinstance(dimensions, int) or not 1 <= dimensions <= 4096:
            raise BadRequest("`dimensions` must be a whole number from 1 to 4096.", "dimensions")
        await self._stumble(request, fault, 0)
        data, total = [], 0
        for index, text in enumerate(texts):
            tokens = tokenize(text)
            total += len(tokens)
            vector: Any = embedding(self.options.model, tokens, dimensions)
            if body.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": total, "total_tokens": total}
        reply: dict[str, Any] = {"object": "list", "data": data, "model": body["model"], "usage": usage}
        if fault.kind == "no-usage":
            del reply["usage"]
        self._seen["finished"] += 1
        return _json(reply)

    async def _begin(self, request: web.Request) -> tuple[dict[str, Any], faults.Fault]:
        """Read a call, wait for the configured latency, and fail here if the whole call is meant to fail."""
        self._seen["calls"] += 1
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"The body is not JSON: {error}.") from error
        if not isinstance(body, dict):
            raise BadRequest("The body must be a JSON object.")
        if self.options.allow_faults:
            self._seen["last"] = {
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "body": body,
            }
        name = body.get("model")
        if name != self.options.model and not (self.options.any_model and isinstance(name, str)):
            raise BadRequest(f"This engine serves only {self.options.model}.", "model", status=404)
        try:
            fault = self.faults.draw(request.headers.get(faults.HEADER))
        except ValueError as error:
            raise BadRequest(str(error)) from error
        if fault.kind == "exit":
            os._exit(1)
        await asyncio.sleep(self.options.latency_ms / 1000)
        if fault.kind == "status":
            raise BadRequest("This engine was told to fail.", status=fault.number)
        return body, fault

    async def _stumble(self, request: web.Request, fault: faults.Fault, produced: int) -> None:
        """Fail in the middle of an answer, if the fault says so."""
        if fault.kind == "die-after" and produced >= fault.number:
            assert request.transport is not None
            request.transport.abort()
            raise asyncio.CancelledError
        if fault.kind == "stall-after" and produced >= fault.number:
            # Aiohttp cancels this when the caller hangs up.
            await asyncio.Event().wait()

    async def _stream(
        self,
        request: web.Request,
        frame: dict[str, Any],
        words: Sequence[str],
        finish_reason: str,
        usage: dict[str, Any] | None,
        fault: faults.Fault,
    ) -> web.StreamResponse:
        """Send one chunk per token, the finish reason, the usage if requested, and `[DONE]`."""
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "cache-control": "no-cache"}
        )
        await response.prepare(request)
        frame = {**frame, "object": "chat.completion.chunk"}

        async def send(delta: dict[str, str], reason: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
            await response.write(b"data: " + orjson.dumps({**frame, "choices": [choice]}) + b"\n\n")

        try:
            await send({"role": "assistant", "content": ""})
            for produced, word in enumerate(words):
                if fault.kind == "end-after" and produced >= fault.number:
                    return response
                await self._stumble(request, fault, produced)
                await asyncio.sleep(self.options.token_ms / 1000)
                await send({"content": word})
            await send({}, finish_reason)
            if usage is not None:
                await response.write(
                    b"data: " + orjson.dumps({**frame, "choices": [], "usage": usage}) + b"\n\n"
                )
            await response.write(b"data: [DONE]\n\n")
        except (ConnectionError, asyncio.CancelledError):
            self._seen["aborted"] += 1
            raise
        await response.write_eof()
        self._seen["finished"] += 1
        return response


class BadRequest(Exception):
    """A call that cannot be served; becomes an answer in OpenAI's error shape."""

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.status = status


@web.middleware
async def _openai_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Give every error OpenAI's shape."""
    try:
        response: web.StreamResponse = await handler(request)
    except BadRequest as error:
        kind = "invalid_request_error" if error.status < 500 else "server_error"
        code = "model_not_found" if error.status == 404 else None
        problem = {"message": str(error), "type": kind, "param": error.param, "code": code}
        return _json({"error": problem}, error.status)
    except web.HTTPException as error:
        problem = {
            "message": f"{request.method} {request.path}: {error.reason}",
            "type": "invalid_request_error",
        }
        return _json({"error": {**problem, "param": None, "code": None}}, error.status)
    return response


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")


def _messages(body: dict[str, Any]) -> list[tuple[str, str]]:
    """The prompt as (role, text). Raises BadRequest for what this engine cannot read, such as an image."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("Send `messages` as a list with at least one message.", "messages")
    prompt = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest("Each message needs a `role` and a `content`.", "messages")
        content = message.get("content")
        if isinstance(content, list) and all(isinstance(part, dict) for part in content):
            if any(part.get("type") != "text" for part in content):
                raise BadRequest("This engine reads only text.", "messages")
            content = "".join(str(part.get("text", "")) for part in content)
        if not isinstance(content, str | None):
            raise BadRequest("The `content` of a message must be text.", "messages")
        prompt.append((message["role"], content or ""))
    return prompt


def _cache_salt(body: dict[str, Any]) -> str:
    """The salt that separates this caller's part of the prefix cache; empty for the part without a salt."""
    salt = body.get("cache_salt")
    if salt is not None and (not isinstance(salt, str) or not salt):
        raise BadRequest("`cache_salt` must be a text that is not empty.", "cache_salt")
    return salt or ""


def _max_tokens(body: dict[str, Any]) -> int:
    wanted = body.get("max_completion_tokens") or body.get("max_tokens") or _DEFAULT_MAX_TOKENS
    if not isinstance(wanted, int) or wanted < 1:
        raise BadRequest("`max_tokens` must be a whole number of at least 1.", "max_tokens")
    return wanted


def _stops(body: dict[str, Any]) -> list[str]:
    stops = body.get("stop") or []
    stops = [stops] if isinstance(stops, str) else stops
    if (
        not isinstance(stops, list)
        or len(stops) > 4
        or not all(isinstance(stop, str) and stop for stop in stops)
    ):
        raise BadRequest("`stop` must be a text, or a list of up to four.", "stop")
    return stops
