"""The plugin in LiteLLM's own event loop: checks requests, follows calls, and keeps LiteLLM's routes current."""

from __future__ import annotations

import atexit
import contextlib
import functools
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, Final, NoReturn

import orjson
import structlog
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy import proxy_server
from litellm.proxy._types import LitellmUserRoles, ProxyException, UserAPIKeyAuth

from gateway.litellm_plugin.answers import CountedStream, is_only_usage, usage_of
from gateway.litellm_plugin.background import Background, taken_settings
from gateway.litellm_plugin.calls import Call
from gateway.litellm_plugin.requests import (
    NAMES_OF_USERS,
    clear_path,
    key_of,
    mode_of,
    read_call,
    require_no_steering,
)
from gateway.litellm_plugin.routes import model_list
from gateway.proxy.auth import credential, read_headers
from gateway.proxy.errors import Refusal, usage_not_recorded
from gateway.proxy.index import Index
from gateway.proxy.logs import configure_logging
from gateway.proxy.spool import SpoolError
from gateway.proxy.strategies import require_no_strategy
from gateway.proxy.tracing import read_trace

_log = structlog.get_logger()
# In the metadata that LiteLLM passes through to all hooks; clients cannot set it.
_CALL: Final = "quartermaster_call"
# Credentials may end or be replaced without a new revision.
_ROUTES_AGAIN_SECONDS: Final = 5.0
_MOST_RECENT: Final = 256
_NO_MODEL: Final = "no-model-is-granted"
# What LiteLLM says about the target of a call, which is nobody's business.
_NOT_TOLD: Final = dict.fromkeys(
    ("x-litellm-model-id", "x-litellm-model-name", "x-litellm-model-api-base", "llm_provider-server"), "-"
)


class Plugin:
    """All calls of this process, by id, and LiteLLM's hooks."""

    def __init__(self, background: Background) -> None:
        self.background = background
        self.calls: dict[str, Call] = {}
        # Ended lately: LiteLLM asks for the headers of an answer after its end.
        self._recent: OrderedDict[str, Call] = OrderedDict()
        self.callback = Callback(self)
        self._routes_of: Index | None = None
        self._routes_until = 0.0
        self._models: list[dict[str, Any]] | None = None

    async def authenticate(self, request: Any, api_key: str) -> UserAPIKeyAuth:
        """LiteLLM's `custom_auth`: who may make this request, and for a call, what it asks for.

        Raises ProxyException, which LiteLLM sends as an error in OpenAI's shape.
        """
        # LiteLLM accepts a key in many headers; here only those count that our own gateway reads.
        headers = read_headers(request.headers.raw)
        try:
            return await self._authenticated(request, headers)
        except Refusal as refusal:
            peer = request.client.host if request.client else ""
            if refusal.code == "invalid_api_key":
                refusal = self.background.refusals.stranger(refusal, peer, credential(headers))
            self.background.refusals.count(refusal.code, "")
            _raise(refusal)

    async def _authenticated(self, request: Any, headers: dict[str, str]) -> UserAPIKeyAuth:
        path = clear_path(request.url.path)
        mode = mode_of(request.method, path)
        index = self.background.ready_index()
        settings = self.background.settings
        peer = request.client.host if request.client else ""
        key = key_of(index, headers, peer, path, settings.trusted_proxies)
        self._keep_routes(index)
        models = [route.config.model for route in index.callable_models(key, time.time())]
        known: dict[str, Any] = {}
        if mode is not None:
            parsed, route = read_call(index, key, await request.body(), mode)
            require_no_strategy(headers, route)
            require_no_steering(headers)
            call = Call(self.background, index, key, parsed, route, read_trace(headers))
            self.calls[call.id] = call
            known[_CALL] = call.id
        return UserAPIKeyAuth(
            api_key=key.config.key_id,
            key_alias=key.config.prefix,
            # LiteLLM reads an empty list as all models.
            models=models or [_NO_MODEL],
            metadata=known,
            user_role=LitellmUserRoles.INTERNAL_USER,
        )

    def call_of(self, auth: Any) -> Call | None:
        """The call that LiteLLM speaks of."""
        return self.calls.get(_id_in(auth))

    def headers_for(self, auth: Any) -> dict[str, str]:
        """The headers for the answer to a call, which may have ended."""
        call = self.call_of(auth) or self._recent.get(_id_in(auth))
        return {**_NOT_TOLD, **(call.headers if call is not None else {})}

    def call_of_kwargs(self, kwargs: dict[str, Any] | None) -> Call | None:
        """The same, from the arguments of a call to LiteLLM's router or its logging."""
        kwargs = kwargs or {}
        for place in (kwargs, kwargs.get("litellm_params") or {}):
            for name in ("metadata", "litellm_metadata"):
                metadata = place.get(name) or {}
                known = metadata.get("user_api_key_metadata") or {}
                if _CALL in known:
                    return self.calls.get(str(known[_CALL]))
        return None

    async def end(self, call: Call, work: Coroutine[Any, Any, None]) -> None:
        """End a call, and forget it here. Raises ProxyException if it cannot be recorded."""
        try:
            await self.background.do(work)
        except SpoolError:
            _raise(usage_not_recorded())
        finally:
            self.calls.pop(call.id, None)
            self._recent[call.id] = call
            if len(self._recent) > _MOST_RECENT:
                self._recent.popitem(last=False)

    async def sweep(self) -> None:
        """End calls whose end LiteLLM never said, long after they should have ended. Runs in the plugin's loop."""
        index = self.background.index
        if index is None:
            return
        now = time.monotonic()
        longest = index.settings.response_timeout_seconds + index.settings.idle_timeout_seconds
        for call in list(self.calls.values()):
            if now - call.seen_at > longest and not call.is_streaming:
                self.calls.pop(call.id, None)
                with contextlib.suppress(SpoolError):
                    await call.abandon()

    def _keep_routes(self, index: Index) -> None:
        """Give LiteLLM's router the routes of this configuration, if they have changed."""
        now = time.monotonic()
        is_same = self._routes_of is not None and self._routes_of.routes is index.routes
        if is_same and now < self._routes_until:
            return
        models, problem = model_list(index, self.background.vault)
        self._routes_of, self._routes_until = index, now + _ROUTES_AGAIN_SECONDS
        self.background.route_problem = problem
        if models != self._models and proxy_server.llm_router is not None:
            proxy_server.llm_router.set_model_list(models)
            self._models = models
            _log.info("routes_set", revision=index.revision, deployments=len(models))


class Callback(CustomLogger):  # type: ignore[misc]
    """LiteLLM's hooks around each call."""

    def __init__(self, plugin: Plugin) -> None:
        super().__init__()
        self._plugin = plugin

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """Admit the call under its limits and write its beginning down, before any target gets it."""
        call = self._plugin.call_of(user_api_key_dict)
        if call is None or call.is_begun or data.get("model") != call.parsed.model:
            _raise(Refusal(404, "unknown_url", "This is not a call that Quartermaster can meter."))
        try:
            await self._plugin.background.do(call.begin())
        except Refusal as refusal:
            self._plugin.calls.pop(call.id, None)
            self._plugin.background.refusals.count(refusal.code, call.key.config.tenant_slug)
            _raise(refusal)
        except SpoolError:
            self._plugin.calls.pop(call.id, None)
            _raise(usage_not_recorded())
        if call.parsed.is_stream:
            data["stream_options"] = {**(data.get("stream_options") or {}), "include_usage": True}
        sent = orjson.loads(call.parsed.body.encode({}))
        data.update({name: sent[name] for name in NAMES_OF_USERS if name in sent})
        return data

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: Any,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        """Leave only targets that may serve this call: granted, in the tenant's regions, fit for its data.

        LiteLLM asks for each attempt, those of its fallbacks to other models included.
        """
        call = self._plugin.call_of_kwargs(request_kwargs)
        if call is None or model != call.parsed.model:
            return []
        call.seen_at = time.monotonic()
        return [one for one in healthy_deployments if one["model_info"]["id"] in call.backends]

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: Any
    ) -> dict[str, Any] | None:
        """Note which deployment gets the call, and send it the value that keeps this tenant's caches apart."""
        call = self._plugin.call_of_kwargs(kwargs)
        if call is None:
            return None
        call.deployment = str((kwargs.get("model_info") or {}).get("id") or "") or None
        fields = call.fields_for(call.deployment)
        if not fields:
            return None
        return {**kwargs, "extra_body": {**(kwargs.get("extra_body") or {}), **fields}}

    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: Any, response: Any
    ) -> Any:
        """Record a whole answer before its client gets it."""
        call = self._plugin.call_of(user_api_key_dict)
        if call is not None:
            usage, is_exact = usage_of(call, response)
            await self._plugin.end(call, call.finish("ok", 200, usage, is_exact=is_exact))
        return response

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Count a stream as it passes, and record it before its last piece; as cancelled if the client goes away."""
        call = self._plugin.call_of(user_api_key_dict)
        if call is None:
            return
        call.is_streaming = True
        stream = CountedStream(call)
        held: list[Any] = []
        try:
            async for piece in response:
                stream.take(piece)
                if stream.has_begun and call.first_token is None:
                    call.first_token = time.monotonic()
                if is_only_usage(piece) and not call.parsed.wants_usage:
                    continue
                held.append(piece)
                # From the end of the last choice on, everything waits for the record.
                while held and not stream.is_finished:
                    yield held.pop(0)
        except GeneratorExit:
            await self._record(call, stream, "cancelled")
            raise
        except BaseException as error:
            is_failed = isinstance(error, Exception)
            await self._record(call, stream, "error" if is_failed else "cancelled")
            raise
        await self._record(call, stream, "ok" if stream.is_finished else "error")
        for piece in held:
            yield piece

    async def _record(self, call: Call, stream: CountedStream, status: Any) -> None:
        usage, is_exact = stream.usage()
        await self._plugin.end(call, call.finish(status, 200, usage, is_exact=is_exact and status != "error"))

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Record a call that failed at a target; forget one that reached none."""
        call = self._plugin.call_of(user_api_key_dict)
        if call is None:
            return
        if call.deployment is None:
            await self._plugin.end(call, call.forget())
            return
        status = getattr(original_exception, "status_code", None)
        http_status = status if isinstance(status, int) and 400 <= status <= 599 else 502
        await self._plugin.end(call, call.finish("error", http_status, {}, is_exact=True))

    async def async_filter_listed_models(
        self, user_api_key_dict: Any, model_names: Sequence[str]
    ) -> Sequence[str]:
        """List only what this key may call."""
        granted = set(getattr(user_api_key_dict, "models", None) or ()) - {_NO_MODEL}
        return [name for name in model_names if name in granted]

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """The call's id, and what is left of its limits."""
        return self._plugin.headers_for(user_api_key_dict)


def _id_in(auth: Any) -> str:
    return str((getattr(auth, "metadata", None) or {}).get(_CALL, ""))


def _raise(refusal: Refusal) -> NoReturn:
    """Raise what LiteLLM sends as this refusal: the same status, sentence, type, field and headers."""
    raise ProxyException(
        message=str(refusal),
        type=refusal.kind,
        param=refusal.param,
        code=refusal.status,
        headers=dict(refusal.headers),
        openai_code=refusal.code,
    )


@functools.cache
def start() -> Plugin:
    """Start the plugin, once per process. Raises CannotStart, so that LiteLLM does not start either."""
    settings = taken_settings()
    configure_logging(settings.log_level, settings.gateway_id)
    background = Background(settings, lambda: plugin.sweep())
    plugin = Plugin(background)
    background.start()
    atexit.register(background.close)
    return plugin
