"""The console is away for a long time while callers go on: no call fails, what expires expires, and nothing is lost.

`make soak-away` runs this for an hour against the real console and its PostgreSQL, whose process is killed meanwhile;
tests/gateway/test_end_to_end.py runs the same for seconds, and tests/gateway/test_console_away.py with a stand-in.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from benchmarks.config import resident_megabytes
from benchmarks.gateway_ways import processor_seconds
from benchmarks.scratch import prepare
from tests.gateway.proxy_fixtures import wait_until

# How far clocks and a busy machine may shift an expiry.
TOLERANCE_SECONDS = 2.0


@dataclass
class Outcome:
    """What callers saw: ids of answered calls with their tokens, and everything that should not have been."""

    answered: dict = field(default_factory=dict)
    # Of the key and the grant that end meanwhile: when each call was answered or refused.
    served_until: dict = field(default_factory=dict)
    refused_from: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)
    # How long callers called while the console was away.
    calling_seconds: float = 0.0
    # How long everything that had waited took to reach the console once it was back.
    upload_seconds: float = 0.0


class ConsoleAway:
    """One gateway, and a console (tests/gateway/consoles.py) that goes away for `seconds` while `callers` call.

    A key and a grant end in the middle.
    """

    def __init__(self, console, seconds, callers, pause_seconds):
        self.console = console
        self.seconds = seconds
        self.outcome = Outcome()
        self._callers = callers
        self._pause_seconds = pause_seconds

    def run(self):
        """Do it. Raises AssertionError for the first thing that is wrong."""
        steady = self.console.steady_keys(self._callers)
        ends, ending = self._ending_keys()
        wait_until(lambda: self.console.waiting() == 0, what="the upload of earlier usage")
        self.console.go_away()
        began = time.monotonic()
        asyncio.run(self._call(steady, ending, ends - time.time() + self.seconds / 2))
        self.outcome.calling_seconds = time.monotonic() - began
        assert not self.outcome.faults, self.outcome.faults[:5]
        # Those whose end the console could not tell of.
        for name in ending:
            assert abs(self.outcome.served_until[name] - ends) < TOLERANCE_SECONDS, name
            assert ends - 0.1 < self.outcome.refused_from[name] < ends + TOLERANCE_SECONDS, name
        assert self.console.waiting() == len(self.outcome.answered) > 0
        self.console.come_back()
        uploaded = time.monotonic()
        wait_until(lambda: self.console.waiting() == 0, 900, "the upload")
        self.outcome.upload_seconds = time.monotonic() - uploaded
        self._check_ledger()
        return self.outcome

    def _ending_keys(self):
        """When a key and a grant end, and the secrets; the gateway knows them well before."""
        for patience_seconds in (2, 10, 60):
            ends = int(time.time() + self.seconds / 2 + patience_seconds)
            ending = self.console.ending_keys(ends)
            if ends - time.time() > self.seconds / 4:
                return ends, ending
        raise AssertionError("The gateway learned of keys too late.")

    def _check_ledger(self):
        """Every answered call is there once, with the tokens that its caller saw, and no other one."""
        found, answered = self.console.ledger(), self.outcome.answered
        ids = [entry.call_id for entry in found]
        assert len(ids) == len(set(ids)), "a call is there twice"
        assert set(ids) == set(answered)
        for entry in found:
            assert entry[1:] == ("ok", answered[entry.call_id], True)

    async def _call(self, steady, ending, seconds):
        until = time.monotonic() + seconds
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(self.console.gateway_url, timeout=timeout) as session:
            work = [self._go_on(session, key, until, bool(number % 2)) for number, key in enumerate(steady)]
            work += [self._go_on_until_refused(session, name, key, until) for name, key in ending.items()]
            await asyncio.gather(*work)

    async def _go_on(self, session, key, until, is_stream):
        while time.monotonic() < until:
            status, told = await self._once(session, key, is_stream)
            if status != 200:
                self.outcome.faults.append((status, told))
            await asyncio.sleep(self._pause_seconds)

    async def _go_on_until_refused(self, session, name, key, until):
        expected = {"key": 401, "grant": 404}[name]
        while time.monotonic() < until:
            status, told = await self._once(session, key, is_stream=False)
            if status == 200:
                self.outcome.served_until[name] = time.time()
            elif status == expected:
                self.outcome.refused_from.setdefault(name, time.time())
            if status not in (200, expected) or (status == 200 and name in self.outcome.refused_from):
                self.outcome.faults.append((name, status, told))
            await asyncio.sleep(min(self._pause_seconds, 0.2))

    async def _once(self, session, key, is_stream):
        """One call; its status, and what was told if it is no answer."""
        body = {
            "model": self.console.model,
            "messages": [{"role": "user", "content": "Hello there"}],
            "max_tokens": 8,
            **({"stream": True, "stream_options": {"include_usage": True}} if is_stream else {}),
        }
        headers = {"authorization": f"Bearer {key}"}
        try:
            async with session.post("/v1/chat/completions", json=body, headers=headers) as answer:
                text = await answer.text()
                if answer.status != 200:
                    return answer.status, text[:200]
                if is_stream and not text.rstrip().endswith("data: [DONE]"):
                    return 0, f"a stream without its end: {text[-200:]}"
                usage = _usage_of_stream(text) if is_stream else json.loads(text)["usage"]
                self.outcome.answered[answer.headers["x-request-id"]] = usage["total_tokens"]
                return 200, ""
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, repr(error)


def _usage_of_stream(text):
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    return next(event["usage"] for event in events if event.get("usage"))


def main():
    """Run it from the command line, with a console, a worker and a gateway of its own."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=60)
    arguments.add_argument("--callers", type=int, default=16)
    arguments.add_argument("--pause", type=float, default=0.2, help="seconds between two calls of a caller")
    given = arguments.parse_args()
    with contextlib.ExitStack() as stack:
        prepare(stack)
        from tests.gateway.consoles import RealConsole
        from tests.stack import Stack

        folder = stack.enter_context(tempfile.TemporaryDirectory())
        running = Stack()
        stack.callback(running.close)
        running.start_all("console", "worker", "beat", "gateway")
        console = RealConsole(running, Path(folder))
        stack.callback(console.close)
        gateway = running.processes["gateway"].pid
        before = processor_seconds(gateway)
        outcome = ConsoleAway(console, given.minutes * 60, given.callers, given.pause).run()
        spent, memory = processor_seconds(gateway) - before, resident_megabytes(gateway, "VmHWM")
    calls = len(outcome.answered)
    print(  # noqa: T201
        f"The console was away for {outcome.calling_seconds / 60:.1f} minutes: {calls:,} calls "
        f"({calls / outcome.calling_seconds:.0f} a second), no fault, each in the ledger once. "
        f"Once it was back, their usage took {outcome.upload_seconds:.0f} s. "
        f"Gateway: {spent / calls * 1000:.2f} ms of processor time a call, at most {memory:.0f} MB."
    )


if __name__ == "__main__":
    main()
