"""Hide backends' own names from clients: answers and events carry the public name.

The members of an answer are replaced in place. Text that a model wrote, and its arguments for tools, are
never changed.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from gateway.contract import Mode
from gateway.proxy.answer_errors import is_error, is_no_error
from gateway.proxy.answer_members import (
    ANY_TOOL_CALL,
    EVENT_NAME,
    FUNCTIONS,
    KEYS,
    KINDS,
    KNOWN,
    MODEL_NAMES,
    NUMBER,
    NUMBERS,
    OBJECTS,
    OF_THE_WEB,
    ORDINARY,
    PLAIN,
    TALLY_NAME,
    TIER,
    TIERS,
    USAGES,
    WORDS,
    is_private,
)
from gateway.proxy.backend_errors import error_shown, read_error
from gateway.proxy.fingerprints import digest_of, fingerprint_of
from gateway.proxy.index import Backend
from gateway.proxy.known_targets import known_target
from gateway.proxy.scrub import Scrubber
from gateway.proxy.whole_answers import PlainAnswer, as_json, read_answer

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHOICES = b'"choices":'
# Of chunks with nothing after their choices.
_ENDS = (b"]}", b'],"usage":null}')
# Levels of an answer; deeper ones are omitted.
_DEEPEST = 64
_NEXT_MEMBER = re.compile(rb'\],\s*"')


class Names:
    """Puts the public name into the answers of one backend to one call."""

    # What is before the choices in every event, and what the client gets of it.
    _head = _clean_head = b""

    def __init__(self, backend: Backend, public_name: str, secrets: tuple[str, ...] = ()) -> None:
        self.backend = backend
        self._public_name = public_name
        self._secrets = secrets
        self._target = known = known_target(backend, public_name)
        # The names it has used for the model so far.
        self._upstream_names = known.upstream_names

    @property
    def scrubber(self) -> Scrubber:
        """Removes this backend's names from a sentence."""
        return self._target.scrubber

    def in_answer(self, content: bytes, words: frozenset[str] = frozenset()) -> bytes:
        """A whole answer, or an event's data; `words` pass as they are. Raises msgspec.DecodeError for no object."""
        return self._written(_MEMBERS.decode(content), words)

    def read(self, content: bytes, mode: Mode, inputs: int) -> PlainAnswer:
        """A whole answer, as `read_answer`. One that is like earlier ones is `shown` at once."""
        known = self._target.answers.read(content) if mode != "embedding" else None
        return read_answer(content, mode, inputs) if known is None else known

    def in_whole(self, answer: PlainAnswer) -> bytes:
        """As `in_answer`, for an answer that was read before."""
        if answer.shown is None:
            members = answer.members
            answer.shown = self._written(members) if members else self.in_answer(answer.content)
            if answer.reported is not None and answer.delivered.pieces == 1:
                self._target.answers.learn(answer, self._read_and_written)
        return answer.shown

    def _read_and_written(self, content: bytes) -> PlainAnswer:
        """An answer of the same backend. Raises FailedAnswer and msgspec.DecodeError."""
        answer = read_answer(content, "chat")
        answer.shown = Names(self.backend, self._public_name).in_answer(answer.content)
        return answer

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
                # A comment that keeps the connection alive, without its text.
                lines[number] = b":"
            elif line.strip() and not EVENT_NAME.fullmatch(line):
                lines[number] = b":"
        return b"\n".join(lines)

    def _data(self, payload: bytes) -> bytes | None:
        """The data line of one event; None if it is not a complete JSON object."""
        cut = payload.find(_CHOICES)
        if (
            cut > 0
            and payload[:cut] == self._head
            and payload.endswith(_ENDS)
            and PLAIN.fullmatch(payload, cut + len(_CHOICES))
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
        """Remember the members before the choices: an engine repeats them in every chunk."""
        try:
            members = _MEMBERS.decode(head + b'"choices":0}')
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        written = self._written(members)
        end = written.rfind(_CHOICES)
        if end > 0:
            self._head, self._clean_head = head, written[:end]

    def _whole(self, event: bytes) -> bytes:
        """An event whose data spans several lines or is not JSON."""
        lines = event.splitlines()
        data = b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")).strip()
        if not data:
            return b":\n\n" if event.strip() else event
        line = self._data(as_json(data))
        if line is None:  # plain text, not JSON
            line = b"data: " + self._error(data)
        named = [one for one in lines if EVENT_NAME.fullmatch(one)]
        return b"\n".join([*named, line]) + b"\n\n"

    def _error(self, data: bytes) -> bytes:
        """An error that a backend sends as an event."""
        return orjson.dumps({"error": error_shown(read_error(data), self.scrubber, self._secrets)})

    def _written(self, members: dict[str, Any], words: frozenset[str] = frozenset()) -> bytes:
        reported = members.get("model")
        if reported is not None:
            name = _as_text(reported)
            if name and name != self._public_name:
                self._upstream_names |= {name}
        parts = []
        for name, value in members.items():
            if name == "model":
                value = self._target.model
            elif name in words:
                pass
            elif name == "system_fingerprint":
                value = fingerprint_of(bytes(value))
            elif is_private(name):
                continue
            elif name == "id":
                value = self._id(bytes(value))
            elif name not in KNOWN:
                value = self._other(bytes(value))
                if value is None:
                    continue
            elif name in USAGES:
                value = self._usage(bytes(value))
            else:
                value = self._known(name, bytes(value))
                if value is None:
                    continue
            parts.append((KEYS.get(name) or orjson.dumps(name) + b":") + bytes(value))
        return b"{" + b",".join(parts) + b"}"

    def _id(self, value: bytes) -> bytes:
        """The id of an answer, or a digest of it if it could name a host, a path or a model."""
        if value[:1] != b'"':
            return value if value[:1] not in b"[{" else b"null"
        return value if self._target.may_show_id(value[1:-1]) else orjson.dumps(digest_of(value))

    def _other(self, value: bytes) -> bytes | None:
        """A member with an unknown name, without anything that names this backend or a place. None if nothing
        is left.
        """
        if value[:1] not in b'[{"':
            return value
        return _rewritten(value, lambda whole: self._without_places(self._pruned(whole)))

    def _without_places(self, value: Any) -> Any:
        """Replace texts that name something of ours by None; omit such members of objects."""
        if isinstance(value, str):
            return value if self.scrubber.is_clean(value) else None
        if isinstance(value, list):
            return [self._without_places(one) for one in value]
        if isinstance(value, dict):
            cleaned = {name: self._without_places(one) for name, one in value.items()}
            return {name: one for name, one in cleaned.items() if one is not None or value[name] is None}
        return value

    def _known(self, name: str, value: bytes) -> bytes | None:
        """A member that clients read, without names and places; the same bytes if it has none.

        None if nothing is left.
        """
        if (name == "object" and value in OBJECTS) or (name not in OF_THE_WEB and PLAIN.fullmatch(value)):
            return value
        return _rewritten(value, lambda whole: self._cleaned(name, whole, ""))

    def _usage(self, value: bytes) -> bytes:
        """The numbers of a usage object, and the few words that dialects put in it; the same bytes if that is all."""
        if NUMBERS.fullmatch(value):
            return value
        return _rewritten(value, self._tally) or b"null"

    def _tally(self, value: Any, name: str = "", depth: int = 0) -> Any:
        if isinstance(value, str):
            is_harmless = NUMBER.fullmatch(value) or (
                name in TIERS and TIER.fullmatch(value) and self._text(name, value, "") == value
            )
            return value if is_harmless else None
        if depth > _DEEPEST:
            return None
        if isinstance(value, list):
            tallied = [(one, self._tally(one, name, depth + 1)) for one in value]
            return [clean for one, clean in tallied if clean is not None or one is None]
        if isinstance(value, dict):
            kept: dict[str, Any] = {}
            for key, one in value.items():
                clean = self._tally(one, key, depth + 1)
                if TALLY_NAME.fullmatch(key) and self._is_fit(key) and (clean is not None or one is None):
                    kept[key] = clean
            return kept
        return value

    def _cleaned(self, name: str, value: Any, within: str, depth: int = 0) -> Any:
        """The value of the member `name` inside the member `within`, without anything that names something of ours.

        The model's own text stays unchanged. None if nothing may be shown.
        """
        if name in WORDS or (name == "name" and within in FUNCTIONS):
            return value
        if name in USAGES:
            return self._tally(value)
        if isinstance(value, str):
            return self._text(name, value, within)
        if depth > _DEEPEST:
            return None
        if isinstance(value, list):
            return [self._cleaned(name, one, within, depth + 1) for one in value]
        if not isinstance(value, dict):
            return value
        within = within if within in OF_THE_WEB else name
        kept: dict[str, Any] = {}
        for key, one in value.items():
            if key == "error" and is_no_error(one):
                kept[key] = None
            elif key == "error":
                kept[key] = error_shown(read_error({"error": one}), self.scrubber, self._secrets)
            elif not is_private(key) and (within in OF_THE_WEB or self._is_fit(key)):
                clean = self._cleaned(key, one, within, depth + 1)
                if clean is not None or one is None:
                    kept[key] = clean
        return kept

    def _is_fit(self, name: str) -> bool:
        """Whether a member's name reveals nothing of ours."""
        return ORDINARY.fullmatch(name) is not None or self.scrubber.is_clean(name)

    def _text(self, name: str, text: str, within: str) -> str | None:
        """A text that is not the model's own; None if it names something of ours."""
        kind = KINDS.get(name)
        if kind is not None and kind.fullmatch(text):
            return text
        if name in MODEL_NAMES or text in self._upstream_names:
            return self._public_name
        if name == "data" and within == "audio":
            return text
        if name in OF_THE_WEB or within in OF_THE_WEB:
            return text if text.startswith("data:") or self.scrubber.is_public(text) else None
        if name == "id" and ANY_TOOL_CALL.fullmatch(text):
            return text
        if name == "id" and (not self.scrubber.is_clean(text) or self.scrubber.could_name_host(text)):
            return digest_of(text.encode())
        return text if self.scrubber.is_clean(text) else None

    def _pruned(self, value: Any) -> Any:
        """The value without private members, at any depth."""
        if isinstance(value, list):
            return [self._pruned(one) for one in value]
        if not isinstance(value, dict):
            return value
        kept: dict[str, Any] = {}
        for name, inner in value.items():
            if name == "model" and isinstance(inner, str):
                kept[name] = self._public_name if inner in self._upstream_names else inner
            elif name == "error" and is_no_error(inner):
                kept[name] = None
            elif name == "error":
                kept[name] = error_shown(read_error({"error": inner}), self.scrubber, self._secrets)
            elif not is_private(name):
                kept[name] = self._pruned(inner)
        return kept


def _rewritten(value: bytes, clean: Callable[[Any], Any]) -> bytes | None:
    """A JSON value after `clean`; the same bytes if `clean` changes nothing.

    None if nothing is left, or if it cannot be read.
    """
    try:
        try:
            whole = orjson.loads(value)
        # Half a surrogate pair, or invalid UTF-8.
        except orjson.JSONDecodeError:
            whole = json.loads(value.decode("utf-8", "replace"))
        left = clean(whole)
        if left == whole:
            return value
        return None if left is None else json.dumps(left).encode()
    except (ValueError, RecursionError):
        return None


def _is_error(members: dict[str, Any]) -> bool:
    """Whether an event is an error rather than part of an answer."""
    error = members.get("error")
    if error is not None and is_error(bytes(error)):
        return True
    if "choices" in members or "data" in members or "usage" in members:
        return False
    return any(name in members for name in ("message", "detail", "error_type", "errors"))


def _as_text(value: Any) -> str | None:
    try:
        return msgspec.json.decode(bytes(value), type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _split(events: bytes) -> list[bytes]:
    """Single events, each with its terminator."""
    return [part + b"\n\n" for part in re.split(rb"\r?\n\r?\n", events) if part.strip()]
