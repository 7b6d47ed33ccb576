"""Numbers for the calls of tools in a stream of chat chunks.

OpenAI's clients put the pieces of a call together by its `index`: the place of the call in the message, from 0. Some
providers leave it out (Gemini, Moonshot), some write 0 for every call (Ollama, Dynamo), some begin with -1 or 1 because
they count other parts of the message (bridges to Bedrock and Anthropic). The gateway then writes the place itself.
"""

import json
from typing import Any

from gateway.proxy.whole_answers import dumped, parse


class _Call:
    """One call of a tool: the backend's id and name for it, empty while unknown."""

    __slots__ = ("id", "name", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = self.name = ""

    def is_another(self, given_id: str, name: str, *, is_numbered: bool) -> bool:
        """Whether a piece at the place of this call begins another one.

        It does if it brings a name again, and not under the same id. With a number, two ids must say so: some servers
        repeat the name in each piece.
        """
        if not name or not self.name:
            return False
        return given_id != self.id if self.id and given_id else not is_numbered


class ToolNumbers:
    """Numbers the calls of tools in one stream, each choice by itself."""

    def __init__(self) -> None:
        # All calls of each choice, in order.
        self._calls: dict[int, list[_Call]] = {}
        # The last call at each place: the backend's number, or the place in the list of a piece without a number.
        self._last: dict[tuple[int, bool, int], _Call] = {}

    def in_event(self, event: bytes, data: bytes, content: Any) -> bytes:
        """The event with the number of each call of a tool; the same bytes if the backend's numbers are right.

        Args:
            event: one event, whole.
            data: its JSON.
            content: what was parsed from `data`.
        """
        if not self._number(content):
            return event
        try:
            # Integers of any size stay as they are.
            exact = json.loads(data)
        except (ValueError, RecursionError):
            exact = parse(data)
        numbers = [call["index"] for call in _calls_in(content)]
        for call, number in zip(_calls_in(exact), numbers, strict=True):
            call["index"] = number
        return b"data: " + dumped(exact) + b"\n\n"

    def _number(self, content: Any) -> bool:
        """Write the numbers into `content`. False if all of them were there already."""
        is_changed = False
        for choice, calls in _lists_in(content):
            for place, call in enumerate(calls):
                given = call.get("index")
                number = self._number_of(choice, call, _whole(given), place)
                is_changed = is_changed or type(given) is not int or given != number
                call["index"] = number
        return is_changed

    def _number_of(self, choice: int, call: dict[str, Any], given: int | None, place: int) -> int:
        """The number of a call, of which this is a piece.

        Args:
            choice: the index of its choice.
            call: the piece.
            given: the backend's number; None: it gave none.
            place: of the piece in its list.
        """
        is_numbered = given is not None
        where = (choice, is_numbered, place if given is None else given)
        function = call.get("function") or call.get("custom")
        name = _text(function.get("name")) if isinstance(function, dict) else ""
        given_id = _text(call.get("id"))
        last = self._last.get(where)
        if last is None and not name and not given_id:
            last = self._begun_elsewhere(choice, given)
        if last is None or last.is_another(given_id, name, is_numbered=is_numbered):
            calls = self._calls.setdefault(choice, [])
            last = _Call(len(calls))
            calls.append(last)
            self._last[where] = last
        last.id, last.name = last.id or given_id, last.name or name
        return last.number

    def _begun_elsewhere(self, choice: int, given: int | None) -> _Call | None:
        """The call that a piece goes on with, whose first piece had no number or, as in SGLang, another one."""
        calls = self._calls.get(choice, [])
        if given is None:
            return calls[-1] if calls else None
        return calls[given] if given < len(calls) else None


def _lists_in(content: Any) -> list[tuple[int, list[dict[str, Any]]]]:
    """The pieces of calls in a chunk: the index of each choice, and its list."""
    found = []
    choices = content.get("choices") if isinstance(content, dict) else None
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        calls = delta.get("tool_calls") if isinstance(delta, dict) else None
        if isinstance(calls, list):
            index = _whole(choice.get("index")) or 0
            found.append((index, [call for call in calls if isinstance(call, dict)]))
    return found


def _calls_in(content: Any) -> list[dict[str, Any]]:
    return [call for _, calls in _lists_in(content) for call in calls]


def _whole(number: Any) -> int | None:
    """A number that servers may write as a text; None if it is none."""
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 9:
        number = int(number)
    return number if type(number) is int and number >= 0 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
