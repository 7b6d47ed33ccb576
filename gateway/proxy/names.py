"""What backends call themselves never reaches a client: answers and events go out under the public name.

The members of an answer are replaced where they stand in its structure; what a model wrote, and the
arguments it gives to tools, are never touched.
"""

import hashlib
import json
import re
from functools import lru_cache
from typing import Any

import msgspec
import orjson

from gateway.proxy.backend_errors import error_shown, read_error
from gateway.proxy.index import Backend
from gateway.proxy.scrub import Scrubber, scrubber_of
from gateway.proxy.whole_answers import as_json

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHOICES = b'"choices":'
_ENDS = (b"]}", b'],"usage":null}')  # of chunks that hold nothing behind their choices
_INSIDE = re.compile(  # what may stand in choices and is not a model's words
    rb'"(?:model|error|kv_transfer_params|ec_transfer_params|disaggregated_params|encoded_opaque_state|provider|'
    rb'meta_info|nvext|__verbose|routed_experts)"\s*:'
)
_NEXT_MEMBER = re.compile(rb'\],\s*"')
# Members that tell where and how an answer was made. `usage`, `choices` and what else clients read pass.
_PRIVATE = re.compile(
    r"_|.*(?:host|addr|base_url|server_url|endpoint|path|node|worker|server|backend|provider|deployment|transfer_params|disagg|"
    r"bootstrap|nvext|sglext|engine|weight_version|routed|debug|verbose|generation_settings|slot|trace|"
    r"request_id|meta_info|instance|cluster|region|api_base|headers)"
)
# Members that clients of some dialect read. Others are looked into for what the backend and its places are called.
_KNOWN_NAMES = """
object created choices data usage service_tier citations search_results images related_questions timings x_groq
prompt_filter_results
"""
_KNOWN = frozenset(_KNOWN_NAMES.split())
_PLAIN_ID = re.compile(rb'"[A-Za-z0-9_-]{1,128}"')
_EVENT_NAME = re.compile(rb"event: ?[a-z_.-]{1,40}\r?")


class Names:
    """Puts the public name into the answers of one backend to one call."""

    def __init__(self, backend: Backend, public_name: str, secrets: tuple[str, ...] = ()) -> None:
        self._config = backend.config
        self._public_name = public_name
        self._model = orjson.dumps(public_name)
        self._secrets = secrets
        own = backend.config.upstream_model.rsplit("/", 1)[-1].lower().encode()
        self._own = (
            b"/" if len(own) < 4 or own in public_name.lower().encode() else own
        )  # "/": in no plain id
        self._told = {backend.config.upstream_model} - {public_name}  # what it called the model so far
        self._head = self._clean_head = b""

    @property
    def scrubber(self) -> Scrubber:
        """Takes this backend out of a sentence."""
        return scrubber_of(self._config, self._public_name)

    def in_answer(self, content: bytes) -> bytes:
        """A whole answer for the client. Raises msgspec.DecodeError if it is no JSON object."""
        return self._written(_MEMBERS.decode(content))

    def in_events(self, events: bytes) -> bytes:
        """Whole events of a stream for the client."""
        lines = events.split(b"\n")
        for number, line in enumerate(lines):
            if line[:5] == b"data:":
                clean = self._data(line[5:].strip())
                if clean is None:
                    return b"".join(self._whole(event) for event in _split(events))
                lines[number] = clean
            elif line[:1] == b":":
                lines[number] = b":"  # keeps a connection alive, whatever it said
            elif line.strip() and not _EVENT_NAME.fullmatch(line):
                lines[number] = b":"
        return b"\n".join(lines)

    def _data(self, payload: bytes) -> bytes | None:
        """The data line of one event; None if it is no JSON object by itself."""
        cut = payload.find(_CHOICES)
        if (
            cut > 0
            and payload[:cut] == self._head
            and payload.endswith(_ENDS)
            and not _INSIDE.search(payload, cut)
            and not (_NEXT_MEMBER.search(payload, cut, len(payload) - 14))
        ):
            return b"data: " + self._clean_head + payload[cut:]
        if payload == b"[DONE]":
            return b"data: [DONE]"
        try:
            members = _MEMBERS.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if _is_error(members):
            return b"data: " + self._error(payload)
        if cut > 0:
            self._learn(payload[:cut])
        return b"data: " + self._written(members)

    def _learn(self, head: bytes) -> None:
        """Remember what stands in front of the choices: an engine repeats it in every chunk."""
        try:
            members = _MEMBERS.decode(head + b'"choices":0}')
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        written = self._written(members)
        end = written.rfind(_CHOICES)
        if end > 0:
            self._head, self._clean_head = head, written[:end]

    def _whole(self, event: bytes) -> bytes:
        """An event whose data is spread over lines, or is no JSON."""
        lines = event.splitlines()
        data = b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")).strip()
        if not data:
            return b":\n\n" if event.strip() else event
        line = self._data(as_json(data))
        if line is None:  # no JSON: somebody's plain words
            line = b"data: " + self._error(data)
        named = [one for one in lines if _EVENT_NAME.fullmatch(one)]
        return b"\n".join([*named, line]) + b"\n\n"

    def _error(self, data: bytes) -> bytes:
        """An error that a backend sends as an event."""
        return orjson.dumps({"error": error_shown(read_error(data), self.scrubber, self._secrets)})

    def _written(self, members: dict[str, Any]) -> bytes:
        told = members.get("model")
        if told is not None:
            name = _as_text(told)
            if name and name != self._public_name:
                self._told.add(name)
        parts = []
        for name, value in members.items():
            if name == "model":
                value = self._model
            elif name == "system_fingerprint":
                value = _fingerprint(bytes(value))
            elif _is_private(name):
                continue
            elif name == "id":
                value = self._id(bytes(value))
            elif name not in _KNOWN:
                value = self._other(bytes(value))
                if value is None:
                    continue
            elif name != "usage":
                value = self._nested(bytes(value))
            parts.append(orjson.dumps(name) + b":" + bytes(value))
        return b"{" + b",".join(parts) + b"}"

    def _id(self, value: bytes) -> bytes:
        """The id of an answer; one made of it where it could name a host, a path or a model."""
        if value[:1] != b'"' or (_PLAIN_ID.fullmatch(value) and self._own not in value.lower()):
            return value
        return b'"id-' + hashlib.sha256(b"id " + value).hexdigest()[:24].encode() + b'"'

    def _other(self, value: bytes) -> bytes | None:
        """A member of a name that is not known, without what names this backend or a place; None if nothing is
        left.
        """
        if value[:1] not in b'[{"':
            return value
        try:
            whole = orjson.loads(value)
        except orjson.JSONDecodeError:  # half a surrogate, which is JSON nevertheless
            whole = json.loads(value)
        clean = self._without_places(self._pruned(whole))
        if clean == whole:
            return value
        return None if clean is None else json.dumps(clean).encode()

    def _without_places(self, value: Any) -> Any:
        """Texts that name something of ours become None; members of an object that are one are left out."""
        if isinstance(value, str):
            return value if self.scrubber.is_clean(value) else None
        if isinstance(value, list):
            return [self._without_places(one) for one in value]
        if isinstance(value, dict):
            cleaned = {name: self._without_places(one) for name, one in value.items()}
            return {name: one for name, one in cleaned.items() if one is not None or value[name] is None}
        return value

    def _nested(self, value: bytes) -> bytes:
        """A member's value without the names in it; the same bytes if there are none."""
        if value[:1] not in b"[{" or not _INSIDE.search(value):
            return value
        try:
            return orjson.dumps(self._pruned(orjson.loads(value)))
        except orjson.JSONDecodeError:  # half a surrogate, which is JSON nevertheless
            return json.dumps(self._pruned(json.loads(value))).encode()

    def _pruned(self, value: Any) -> Any:
        """Without private members, at any depth but in what the model wrote."""
        if isinstance(value, list):
            return [self._pruned(one) for one in value]
        if not isinstance(value, dict):
            return value
        kept = {}
        for name, inner in value.items():
            if name in ("content", "arguments", "parsed", "input", "logprobs"):
                kept[name] = inner
            elif name == "model" and isinstance(inner, str):
                kept[name] = self._public_name if inner in self._told else inner
            elif name == "error" and inner is not None:
                kept[name] = error_shown(read_error({"error": inner}), self.scrubber, self._secrets)
            elif not _is_private(name):
                kept[name] = self._pruned(inner)
        return kept


def _is_error(members: dict[str, Any]) -> bool:
    """Whether an event is an error and no part of an answer."""
    error = members.get("error")
    if error is not None and bytes(error) not in _NOTHING:
        return True
    if "choices" in members or "data" in members or "usage" in members:
        return False
    return any(name in members for name in ("message", "detail", "error_type", "errors"))


_NOTHING = (b"null", b"false", b'""', b"{}", b"[]", b"0")


@lru_cache(maxsize=1024)
def _is_private(name: str) -> bool:
    return _PRIVATE.match(name.lower()) is not None


@lru_cache(maxsize=1024)
def _fingerprint(value: bytes) -> bytes:
    """Says when the system behind an answer changed, and not what it is."""
    if value[:1] != b'"' or value == b'""':
        return b"null"
    return b'"fp_' + hashlib.sha256(b"fingerprint " + value).hexdigest()[:12].encode() + b'"'


def _as_text(value: Any) -> str | None:
    try:
        return msgspec.json.decode(bytes(value), type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _split(events: bytes) -> list[bytes]:
    """Single events, each with its end."""
    return [part + b"\n\n" for part in re.split(rb"\r?\n\r?\n", events) if part.strip()]
