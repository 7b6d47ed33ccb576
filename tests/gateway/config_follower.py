"""A client of the configuration in the test's process, without a gateway around it."""

import asyncio
import contextlib
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from gateway.contract import Ack
from gateway.contract.stream import KEEP_ALIVE
from gateway.proxy.config_client import ConfigClient
from gateway.proxy.config_reports import ConfigReports
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.control import Control
from gateway.proxy.metrics import Metrics
from gateway.proxy.vault import Vault
from tests.gateway.config_lines import FIRST, SECOND, THIRD, LinesControlPlane, changes, everything, key

# On the disk of these tests: so many changes that everything is fetched anew.
OUTGROWN = KEEP_ALIVE * 50


def slowly(body):
    """A body that stops in the middle until the event is set."""
    event = threading.Event()
    return [body[:-60], event, body[-60:]], event


class Follower:
    """A client of the configuration in this process, and every index that it has put in force."""

    def __init__(self, control, directory):
        self.control = control
        self.file = directory / "snapshot.json"
        self.applied = []

    def apply(self, index):
        self.applied.append(index)

    def index(self):
        return self.applied[-1] if self.applied else None

    def serves(self, revision):
        return bool(self.applied) and self.applied[-1].revision == revision

    def on_disk(self):
        """What a gateway that starts now would read: from a copy, as reading removes a draft."""
        with tempfile.TemporaryDirectory() as directory:
            for file in (self.file, self.file.with_suffix(".changes")):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(file, directory)
            return ConfigStore(Path(directory) / self.file.name).load()

    def asked_for_everything(self, after):
        return self.control.asked.count((after, ""))

    async def until(self, claim, what):
        for _ in range(1500):
            if claim():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{what} did not happen")

    def run(self, scenario, *, again=False):
        """Run a client; `again` one that begins with the copy on disk."""

        async def work():
            headers = {"authorization": f"Bearer {self.control.token}"}
            async with Control(self.control.url, headers) as control:
                vault, metrics = Vault(self.file.parent, None), Metrics()
                reports = ConfigReports(control, "gw-test", self.describe, metrics)
                store = ConfigStore(self.file)
                client = ConfigClient(control, store, self.apply, reports, metrics, vault)
                self.reports, self.metrics = reports, metrics
                if again:
                    self.applied.clear()
                    client.load_from_disk()
                work = [asyncio.create_task(client.poll()), asyncio.create_task(reports.run())]
                try:
                    await scenario(self)
                finally:
                    for task in work:
                        task.cancel()
                    ended = await asyncio.gather(*work, return_exceptions=True)
                assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended

        asyncio.run(work())

    def describe(self, problem, refused):
        revision = self.applied[-1].revision if self.applied else 0
        said = {"problem": problem, "refused": refused, "spool_pending": 0, "counters": {}, "version": "1"}
        return Ack(revision=revision, started_at="now", **said)


@pytest.fixture
def follower(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.proxy.config_store.SMALLEST_LIMIT", 0)
    monkeypatch.setattr("gateway.proxy.config_client._REFRESH_AGAIN_SECONDS", (0.05, 0.2))
    control = LinesControlPlane()
    control.up()
    yield Follower(control, tmp_path)
    control.close()


async def refreshing(one, body):
    """Serve revision 11, and be fetching everything anew."""
    answers = one.control.answers
    answers[""] = 10, everything(10, key(FIRST), key(SECOND))
    await one.until(lambda: one.serves(10), "the first configuration")
    answers[""] = 11, body
    answers["s10"] = 11, changes(10, keys=[key(THIRD)]) + OUTGROWN
    await one.until(lambda: one.asked_for_everything(0) > 1, "the query for everything")
    assert one.serves(11)


@pytest.fixture
def with_a_copy(follower):
    async def scenario(one):
        one.control.answers[""] = 10, everything(10, key(FIRST), key(SECOND))
        await one.until(lambda: one.serves(10) and one.file.exists(), "the first configuration")

    follower.run(scenario)
    return follower
