"""What must hold of a provider: chat, streams, tools, embeddings, errors, usage; and nobody sees its credential."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from gateway.provider_trial.calls import Came, Wrong, message_in, post
from gateway.provider_trial.console import TrialConsole
from gateway.provider_trial.process import TrialGateway

# The public names under which the trial's gateway serves: the model, the model of embeddings, the model with a wrong
# credential, and a model that the provider does not have.
CHAT, EMBEDDING, WRONG_KEY, WRONG_MODEL = "tried", "tried-embedding", "tried-wrong-key", "tried-wrong-model"
# A gateway reports usage within a second or two.
_USAGE_SECONDS: Final = 20.0
_MOST_TOKENS: Final = 400
_WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_ASKS_FOR_WEATHER: Final = {"role": "user", "content": "What is the weather in Oslo? Use the tool."}


@dataclass(frozen=True)
class Found:
    """What came of one check."""

    name: str
    # None: it was not made, and `words` say why.
    holds: bool | None
    words: str


@dataclass(frozen=True)
class Trial:
    """A gateway that serves the provider, and who hears of its usage.

    Args:
        gateway: where to call.
        console: hears of usage.
        key: of the gateway.
        secrets: the provider's credentials, which nobody may see; none: only the gateway has it.
        has_embeddings: whether a model of embeddings is tried too.
    """

    gateway: TrialGateway
    console: TrialConsole
    key: str
    secrets: list[str]
    has_embeddings: bool

    def run(self) -> Iterator[Found]:
        """Make each check, one after the other. About a dozen small calls."""
        seen: list[bytes] = []
        for name, check in self._checks():
            try:
                yield Found(name, True, check(seen))
            except Wrong as wrong:
                yield Found(name, False, str(wrong))
        if not self.has_embeddings:
            yield Found("embeddings", None, "name a model with --embedding-model")
        yield self._secrecy(seen)

    def _checks(self) -> Iterator[tuple[str, Callable[[list[bytes]], str]]]:
        yield "chat", self._chat
        yield "stream", self._stream
        yield "tools", lambda seen: self._tools(seen, is_stream=False)
        yield "tools in a stream", lambda seen: self._tools(seen, is_stream=True)
        yield "Messages API, streamed", self._messages
        if self.has_embeddings:
            yield "embeddings", self._embeddings
        yield "wrong credential", self._wrong_credential
        yield "wrong model", self._wrong_model
        yield "wrong call", self._wrong_call

    def _call(self, seen: list[bytes], path: str = "chat/completions", **call: Any) -> Came:
        whole = {"model": CHAT, **call}
        if path == "chat/completions":
            whole = {"max_tokens": _MOST_TOKENS, **whole}
        came = post(self.gateway.url, f"/v1/{path}", self.key, whole)
        seen.append(came.raw)
        return came

    def _chat(self, seen: list[bytes]) -> str:
        came = self._call(seen, messages=[{"role": "user", "content": "Say: ready"}])
        if not message_in(came).get("content"):
            raise Wrong("the answer has no text")
        return f"{came.milliseconds} ms; {self._usage(came)}"

    def _stream(self, seen: list[bytes]) -> str:
        messages = [{"role": "user", "content": "Count from one to ten, in words."}]
        came = self._call(seen, messages=messages, stream=True).must_be_200()
        if not message_in(came)["content"]:
            raise Wrong("the stream has no text")
        if any(chunk.get("usage") for chunk in came.chunks):
            raise Wrong("usage reached a client that did not ask for it")
        return f"{len(came.chunks)} events in {came.milliseconds} ms; {self._usage(came)}"

    def _tools(self, seen: list[bytes], *, is_stream: bool) -> str:
        came = self._call(seen, messages=[_ASKS_FOR_WEATHER], tools=[_WEATHER], stream=is_stream)
        said = message_in(came.must_be_200())
        usage = self._usage(came)
        calls = said.get("tool_calls") or []
        if not calls:
            raise Wrong("the model called no tool. Does it know tools?")
        try:
            city = json.loads(calls[0]["function"]["arguments"])["city"]
        except (ValueError, KeyError, TypeError) as error:
            raise Wrong("the arguments of the call are not what the tool declares") from error
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in calls]
        then = self._call(seen, messages=[_ASKS_FOR_WEATHER, said, *results], tools=[_WEATHER])
        message_in(then)
        return f"weather({city!r}), and its result was taken; {usage}"

    def _messages(self, seen: list[bytes]) -> str:
        messages = [{"role": "user", "content": "Say: ready"}]
        came = self._call(
            seen, "messages", max_tokens=_MOST_TOKENS, messages=messages, stream=True
        ).must_be_200()
        if not came.is_whole:
            raise Wrong("the stream has no end")
        if not any(event.get("type") == "content_block_delta" for event in came.chunks):
            raise Wrong("the stream has no text")
        return self._usage(came)

    def _embeddings(self, seen: list[bytes]) -> str:
        came = self._call(seen, "embeddings", model=EMBEDDING, input="ready").must_be_200()
        try:
            size = len(came.whole["data"][0]["embedding"])
        except (KeyError, IndexError, TypeError) as error:
            raise Wrong("the answer has no vector") from error
        return f"{size} numbers; {self._usage(came, has_output=False)}"

    def _wrong_credential(self, seen: list[bytes]) -> str:
        came = self._call(seen, model=WRONG_KEY, messages=[{"role": "user", "content": "Say: ready"}])
        self._must_be_refused(came, 502)
        reason = 'reason="credentials"'
        if not self.gateway.metric("llm_backend_account_refused_total", reason):
            raise Wrong(f"{came.says}; but the gateway did not recognize that its credential was refused")
        return "recognized as ours; the client learns nothing of it"

    def _wrong_model(self, seen: list[bytes]) -> str:
        came = self._call(seen, model=WRONG_MODEL, messages=[{"role": "user", "content": "Say: ready"}])
        self._must_be_refused(came, 502)
        return f"the client gets {came.says}"

    def _wrong_call(self, seen: list[bytes]) -> str:
        came = self._call(seen, messages=[{"role": "nobody", "content": "Say: ready"}])
        self._must_be_refused(came, 400)
        return f"the client gets {came.says}"

    def _must_be_refused(self, came: Came, status: int) -> None:
        if came.status != status:
            raise Wrong(f"{came.says}; it should be {status}")
        event = self.console.event(came.call_id, _USAGE_SECONDS)
        if event is not None and event.tokens:
            raise Wrong(f"a refused call was counted: {_in_words(event.usage)}")

    def _usage(self, came: Came, *, has_output: bool = True) -> str:
        """What the gateway counted, in words. Raises Wrong unless the provider told it all."""
        event = self.console.event(came.call_id, _USAGE_SECONDS)
        if event is None:
            raise Wrong("the gateway reported no usage")
        words = _in_words(event.usage)
        if event.status != "ok":
            raise Wrong(f"the gateway counts the call as {event.status}: {words}")
        if not event.is_exact:
            raise Wrong(
                f"usage is estimated, since the provider's numbers are missing or impossible: {words}"
            )
        has_input = any(event.usage.get(kind) for kind in ("input", "cache_read", "cache_write"))
        if not has_input or (has_output and not event.usage.get("output")):
            raise Wrong(f"usage lacks input or output: {words}")
        return f"exact usage: {words}"

    def _secrecy(self, seen: list[bytes]) -> Found:
        name = "credential"
        if not self.secrets:
            return Found(name, None, "only the gateway has it, so nobody can look for it here")
        secrets = [secret.encode() for secret in self.secrets]
        if any(secret in raw for raw in seen for secret in secrets):
            return Found(name, False, "an answer has it")
        if any(secret in content for content in self.gateway.written() for secret in secrets):
            return Found(name, False, "the gateway wrote it to its disk or log")
        return Found(name, True, "in no answer, and in no file or log of the gateway")


def _in_words(usage: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in usage.items()) or "nothing"
