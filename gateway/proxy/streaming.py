"""Streams of server-sent events: passed on as bytes, parsed only where necessary.

An engine may split its stream anywhere, so only whole events are passed on; a partial event waits for
the rest. An event is parsed if it is more than a piece of text: it reports usage, ends a choice, mentions an
error, or has no choices.
"""

import contextlib
import re
from typing import Any

from gateway.proxy.alike_events import PIECE, AlikeEvents, Texts
from gateway.proxy.answer_errors import FailedAnswer, end_of, error_in, is_failed_end, may_hold_error
from gateway.proxy.delivered import MOST_BYTES_OF_A_TOKEN, Delivered
from gateway.proxy.event_lines import (
    FINISH,
    LARGEST_EVENT,
    LINE,
    LONG_EVENT,
    USAGE,
    LongEvent,
    end_of_texts,
    is_half,
    is_json,
    is_only_usage,
    parsed,
    split_events,
)
from gateway.proxy.members import parse_all
from gateway.proxy.names import Names
from gateway.proxy.tool_numbers import ToolNumbers
from gateway.proxy.usage import Reported, read_usage, tier_in
from gateway.proxy.whole_answers import (
    cites,
    ordinary_report,
    other_words,
    parse,
    tells_usage,
    texts_in,
    words_in,
    written,
)

_CHOICE = re.compile(rb'"choices"\s*:\s*\[\s*\{')
_DONE = re.compile(rb"^data:[^\S\n]*\"?\[DONE\]\"?\s*$", re.MULTILINE | re.IGNORECASE)
_FAILED_EVENT = re.compile(rb"error|fail|exception|abort")
_KEEPS_ALIVE = (b"ping", b"heartbeat", b"keepalive", b"keep-alive", b"keep_alive")  # names of events
# The ends of events with nothing after their choices.
_ENDS = (b"}]}\n\n", b'}],"usage":null}\n\n')
_BOM = b"\xef\xbb\xbf"


class StreamTooStrange(Exception):
    """The backend's answer is not a stream of events."""


class EventStream:
    """Reads one backend's stream; its attributes describe the content so far."""

    def __init__(self, names: Names, *, hides_usage: bool, choices: int = 1) -> None:
        self._names = names
        self._hides_usage = hides_usage
        self._choices = choices  # requested
        self._rest = b""
        self._long: LongEvent | None = None
        # The text before the choices in all events.
        self._head = b""
        # Like the last event, if that was a piece of text. None before the first text, and after an end or an error.
        self._alike: AlikeEvents | None = None
        # The indexes of choices, from parsed events.
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        # The last piece says explicitly that its choice has no end.
        self._says_no_end = False
        # A choice ended twice.
        self._is_repeated = False
        # The size delivered at the last report of the largest number of output tokens.
        self._reported_at = 0
        self._first_reported_at = 0
        self.reported: Reported | None = None
        # As the backend named it.
        self.service_tier: str | None = None
        self.delivered = Delivered()
        # The error in an event; nothing after it is passed on.
        self.error: FailedAnswer | None = None
        self.has_choice = False
        # Texts follow the ends of choices, so those ends mean nothing.
        self.goes_on = False
        self.is_done = False
        self._tools = ToolNumbers()

    @property
    def is_finished(self) -> bool:
        """Whether the backend ended every choice, with an end for each or with the end mark of the stream.

        Some servers send only one of these. But if only some choices have an end, the others are cut off.
        """
        if not self.has_choice:
            return False
        if len(self._finished) >= self._choices:
            return True
        return self.is_done and not (self._finished and self._begun - self._finished)

    @property
    def is_certain(self) -> bool:
        """False if the stream says that none of its choices has an end, or if it ends one twice instead of another."""
        if not self._finished:
            return not self._says_no_end
        return not self._is_repeated or len(self._finished) >= self._choices

    @property
    def may_bring_more(self) -> bool:
        """Whether to read on: for the rest of the answer, or after its end for the usage."""
        return not self.is_done or (self.is_finished and not self.is_usage_known)

    @property
    def is_partial(self) -> bool:
        """Whether text came after the last token report."""
        return self.delivered.size > self._reported_at

    @property
    def is_usage_known(self) -> bool:
        """Whether the usage of the whole text so far is known."""
        return self.reported is not None and self.reported.completion is not None and not self.is_partial

    @property
    def has_begun(self) -> bool:
        """Whether part of the answer has come, and not just its announcement."""
        return bool(self.delivered.pieces or self._finished or self.is_done)

    def feed(self, data: bytes) -> bytes:
        """Process received data, and return the part for the client: whole events, without `[DONE]`.

        An event that is an error is not returned: see `error`. Raises StreamTooStrange if an event does not end
        within 16 MiB.
        """
        if self._rest or (texts := self._texts(data)) is None:
            return self._feed(data)
        return texts[0] + self._feed(data[texts[1] :]) if texts[1] < len(data) else texts[0]

    def feed_texts(self, data: bytes) -> bytes | None:
        """As `feed`, if all of `data` is texts like the last one; else None, and nothing is processed."""
        alike = self._alike
        if alike is None or self._rest or (texts := alike.read(data, self.delivered, are_all=True)) is None:
            return None
        self._says_no_end = alike.says_no_end
        return texts[0]

    def _texts(self, data: bytes) -> Texts | None:
        """Process the events at the beginning of `data` that are like the last one; None if there are none."""
        alike = self._alike
        if alike is None or (texts := alike.read(data, self.delivered)) is None:
            return None
        # Perhaps another kind of event came after the last of these.
        self._says_no_end = alike.says_no_end
        return texts

    def _feed(self, data: bytes) -> bytes:
        if self._long is not None:
            if not self._long.may_end(data):
                return b""
            self._rest, self._long, data = self._long.whole, None, b""
        # What waits is always the beginning of an event, wherever the reads were cut.
        data = (self._rest + data).removeprefix(_BOM)
        if data.find(_BOM) >= 0:
            data = data.replace(b"\n" + _BOM, b"\n")
        if data.find(b"\n") < 0 and data.find(b"\r\r") >= 0:
            data = data.replace(b"\r", b"\n")
        end = len(data) if data.endswith(b"\n\n") else max(data.rfind(b"\n\n") + 2, data.rfind(b"\n\r\n") + 3)
        if end < 4:
            if len(data) > LARGEST_EVENT:
                raise StreamTooStrange
            self._rest, self._long = data, LongEvent(data) if len(data) >= LONG_EVENT else None
            return b""
        whole, self._rest = data[:end], data[end:]
        # The first of many shows what the others are like; that of a role alone does not.
        passed = b""
        for _ in range(2):
            first = whole.find(b"\n\n") + 2
            if whole.find(b"\n\n", first) < 0 or self.error is not None:
                break
            passed += self._pass_on(whole[:first])
            whole = whole[first:]
            if (texts := self._texts(whole)) is not None:
                passed, whole = passed + texts[0], whole[texts[1] :]
        return passed + self._pass_on(whole) if whole and self.error is None else passed

    def end(self) -> bytes:
        """Return the rest at the end of the stream, if a server omits the last empty line. Drops a partial event."""
        rest, self._rest = self._long.whole if self._long is not None else self._rest, b""
        return self._pass_on(rest + b"\n\n") if rest.strip() and not is_half(rest) else b""

    def _pass_on(self, events: bytes) -> bytes:
        if self.is_done:
            return self._late(events)
        # Pieces of text that came together with the end of their choice are as quick as without it.
        if end := end_of_texts(events):
            passed = self._pass_on(events[:end])
            return passed if self.error is not None else passed + self._pass_on(events[end:])
        count = events.count(b"data:")
        # Only text: each event has its choices, and no sign of an end, of usage or of an error.
        if (
            count == events.count(b'"choices"') > 0
            # Clients ignore other lines.
            and count == events.count(b"\ndata:") + events.startswith(b"data:")
            and self._choices == 1
            and events.find(b"error") < 0
            and self._holds_no_error(events, count)
            and (events.find(b'"finish') < 0 or FINISH.search(events) is None)
            and not (events.find(b'"usage') >= 0 and USAGE.search(events))
        ):
            texts = PIECE.findall(events)
            if len(texts) == count:
                self.has_choice = self.has_choice or _CHOICE.search(events) is not None
                if self._finished and any(texts):
                    self._go_on(*self._finished)
                self.delivered.pieces += count - texts.count(b"")
                self.delivered.bytes += sum(map(len, texts))
                self.delivered.chunks += count
                last = events.rfind(b"data:")
                self._says_no_end = events.find(b'"finish_reason"', last) > 0
                passed = self._names.in_events(events)
                self._alike = None
                if self.delivered.pieces and not self._finished:
                    self._alike = AlikeEvents.like(events[last:], passed[passed.rfind(b"data:") :])
                return passed
        done, late = _DONE.search(events), b""
        if done is not None:
            self.is_done = True
            events, late = events[: done.start()], events[done.end() :]
        events = self._look_into_all(events)
        if self._finished or self.is_done or self.error is not None:
            self._alike = None
        return (self._names.in_events(events) if events else b"") + self._late(late)

    def _holds_no_error(self, events: bytes, count: int) -> bool:
        """Whether nothing in these events beside their choices can be an error. Quick if it is the same as before."""
        if events.count(self._head) == count == events.count(_ENDS[0]) + events.count(_ENDS[1]):
            return True
        if may_hold_error(events):
            return False
        start = events.rfind(b"data:")
        self._head = events[start : events.find(b'"choices"', start)]
        return True

    def _late(self, events: bytes) -> bytes:
        """Process data after the end mark. Only usage counts, which some servers send only there."""
        kept = b""
        for line in LINE.split(events) if events else ():
            content = None
            if line.startswith(b"data:"):
                with contextlib.suppress(ValueError):
                    content = parsed(line[5:].strip())
            self._note_usage(content, read_usage(content))
            if not self._hides_usage and is_only_usage(content) and self.error is None:
                kept += self._names.in_events(line + b"\n\n")
        return kept

    def _count(self, events: bytes) -> None:
        found = written(events)
        # Perhaps part of a character.
        if not found.pieces and events.find(b'"logprobs":{') >= 0:
            found.pieces = found.bytes = 1
        self.delivered.add(found)

    def _look_into_all(self, events: bytes) -> bytes:
        result = []
        for event in split_events(events):
            try:
                result.append(self._look_into(event))
            except FailedAnswer as error:
                self.error = error
                break
        return b"".join(result)

    def _look_into(self, event: bytes) -> bytes:
        """Note the content of an event; drop one with only usage that the client did not request.

        Raises FailedAnswer if the event is an error, or is not part of a chat at all.
        """
        lines = LINE.split(event)
        data = b"\n".join([line[5:].strip() for line in lines if line.startswith(b"data:")])
        error_field = next((line[6:].strip() for line in lines if line.startswith(b"error:")), b"")
        # Older llama.cpp sends an `error` field instead of data.
        if error_field:
            data = error_field
        # Plain JSON instead of an event.
        elif not data and event.lstrip().startswith(b"{"):
            data = b" ".join(line.strip() for line in lines)
            objects = [line for line in lines if line.strip()]
            # One object per line; an incomplete one at the end is dropped.
            if len(objects) > 1 and is_json(objects[0]):
                return b"".join(
                    [self._look_into(b"data: " + line + b"\n\n") for line in objects if is_json(line)]
                )
            event = b"data: " + data + b"\n\n"
        if not data:
            if event.find(b'"choices"') >= 0 and not event.lstrip().startswith(b":"):
                raise FailedAnswer(502, reason="a part of the answer that no client reads")
            return event  # a comment or empty
        name = next((line[6:].strip().lower() for line in lines if line.startswith(b"event:")), b"")
        is_error = bool(error_field) or _FAILED_EVENT.search(name) is not None
        reported = ordinary_report(data)
        may_report = reported is None and tells_usage(data)
        try:
            content = parse_all(data) if may_report else parse(data)
        except ValueError:
            if name in _KEEPS_ALIVE:
                return b":\n\n"
            if is_error or data.find(b'"choices"') < 0:
                raise FailedAnswer(502, data.decode(errors="replace")) from None
            self.has_choice = True
            self._count(event)
            return event
        if may_report:
            reported = read_usage(content)
        if is_error or not _is_no_error(content, data):
            error = error_in(content, is_error=is_error)
            if error is not None:
                # Some tell beside an error what the call has used.
                self._note_usage(content, reported)
                raise error
        self._count_parsed(content, event)
        self._note_usage(content, reported)
        if data.find(b'"tool_calls"') >= 0:
            event = self._tools.in_event(event, data, content)
        return b"" if self._hides_usage and is_only_usage(content) else event

    def _count_parsed(self, content: dict[str, Any], event: bytes) -> None:
        choices = content.get("choices")
        if not isinstance(choices, list):
            return
        pieces, size = self.delivered.pieces, self.delivered.bytes
        if cites(event):
            self._count(b"".join(texts_in(choices)))
        else:
            self._count(event)
            if self.delivered.pieces == pieces and (others := other_words(choices)):
                self.delivered.pieces += 1
                self.delivered.bytes += others
        words = 0
        for choice in choices:
            if isinstance(choice, dict):
                self.has_choice = True
                words += words_in(choice.get("delta") or choice.get("message"))
                self._note_choice(choice)
        self.delivered.other += max(words - (self.delivered.bytes - size), 0)

    def _note_choice(self, choice: dict[str, Any]) -> None:
        self.delivered.chunks += 1
        probable = choice.get("logprobs")
        if isinstance(probable, dict) and isinstance(probable.get("content"), list):
            self.delivered.chunks += len(probable["content"])
        index = choice.get("index", 0)
        if isinstance(index, str) and index.isascii() and index.isdigit() and len(index) < 9:
            index = int(index)
        index = index if isinstance(index, int) else 0
        self._begun.add(index)
        self.delivered.choices = len(self._begun)
        if index in self._finished and written(b"".join(texts_in([choice]))).pieces:
            self._go_on(index)
        end = end_of(choice)
        self._says_no_end = not end and "finish_reason" in choice
        if end:
            self._is_repeated = self._is_repeated or index in self._finished
            self._finished.add(index)

    def _go_on(self, *indexes: int) -> None:
        """Note a text after the end of its choice: the end was not real, or the text belongs to another choice."""
        self._finished.difference_update(indexes)
        self._begun.update(indexes)
        self.goes_on = self._is_repeated = True

    def _note_usage(self, content: Any, reported: Reported | None) -> None:
        if reported is None:
            return
        self.service_tier = tier_in(content) or self.service_tier
        before = None if self.reported is None else self.reported.completion
        if self.reported is None:
            self.reported = reported
        else:
            self.reported.merge(reported)
        completion, now = reported.completion, self.delivered.size
        if completion is None:
            return
        if before is None or completion > before:
            self._reported_at = self._first_reported_at = now
        elif completion == before and now - self._first_reported_at <= MOST_BYTES_OF_A_TOKEN:
            self._reported_at = now


def _is_no_error(content: Any, data: bytes) -> bool:
    """Whether a quick look is enough: no name of an error, and no choice with a failed end."""
    if not isinstance(content, dict) or may_hold_error(data):
        return False
    choices = content.get("choices")
    return isinstance(choices, list) and not any(
        isinstance(one, dict) and (end := end_of(one)) != "stop" and is_failed_end(end) for one in choices
    )
