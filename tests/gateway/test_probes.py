"""Gateways ask ejected and idle targets whether they answer, so that no caller has to find out."""

import asyncio
import random
from collections import Counter
from itertools import pairwise

import pytest

from gateway.contract import ConfigSnapshot, HandlingConfig, ProviderConfig, RouteConfig, SettingsConfig
from gateway.proxy.http.errors import ConnectError, NoRoom
from gateway.proxy.index import Index
from gateway.proxy.metrics import Metrics
from gateway.proxy.probes import Prober
from gateway.proxy.routing import Breaker, Router
from gateway.proxy.vault import Vault
from tests.gateway.eventually import until
from tests.gateway.proxy_fixtures import wait_until
from tests.gateway.scripted_backend import ScriptedBackend, plain
from tests.gateway.test_calls_to_providers import MODEL as OUTSIDE
from tests.gateway.test_calls_to_providers import SECRET, outside, target  # noqa: F401  a fixture
from tests.gateway.test_handling_of_routes import call, served
from tests.gateway.test_proxy_counting import a_route, backend


class Connections:
    """Answers probes with `says`: a status, or what is raised."""

    def __init__(self):
        self.looked = []
        self.says = 200
        self.seconds = 0.01
        self.most_at_once = self._at_once = 0

    async def look(self, url, *, headers, **_):
        self.looked.append((url, headers))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(self.seconds)
        self._at_once -= 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class Bench:
    """A prober with a clock of its own, and targets that the test ejects."""

    def __init__(self, directory, *targets, chance=random.random, **handling):
        self.now = 1000.0
        self.connections = Connections()
        self.metrics = Metrics()
        self.router = Router(self.metrics, clock=lambda: self.now)
        route = RouteConfig(
            model="m", modes=["chat"], targets=list(targets), handling=HandlingConfig(**handling)
        )
        self.index = Index(ConfigSnapshot(revision=1, issued_at="", keys=[], routes=[route]))
        self.backends = {one.id: one for group in self.index.routes["m"].groups for one in group}
        self.prober = Prober(
            self.connections,
            self.router,
            Vault(directory, None),
            lambda: self.index,
            lambda: self.now,
            chance,
        )

    def eject(self, *ids, **how):
        for one in ids or self.backends:
            for _ in range(3):
                self.router.failed(self.backends[one], "connect", **how)

    async def look_after(self, seconds, times=1):
        for _ in range(times):
            self.now += seconds
            self.prober.look()
            await asyncio.sleep(0.05)

    def first(self):
        return next(self.router.candidates(self.index.routes["m"])).id


def test_an_engine_that_was_away_is_back_before_any_call_tried_it(tmp_path):
    async def live():
        bench = Bench(tmp_path, backend("a"), backend("b", priority=1))
        bench.connections.says = ConnectError("refused")
        await bench.look_after(3.0)
        assert bench.connections.looked == []  # nothing is ejected
        bench.eject("a")
        assert bench.router.ejected == 1
        # Without probes a call would try it after one second.
        for _ in range(10):
            await bench.look_after(3.0)
            assert bench.first() == "b"
        assert {url for url, _ in bench.connections.looked} == {"http://a/v1/models"}
        assert len(bench.connections.looked) == 10
        bench.connections.says = 200
        await bench.look_after(3.0)
        assert (bench.first(), bench.router.ejected) == ("a", 0)
        # On trial: the next failure ejects it again.
        bench.router.failed(bench.backends["a"], "connect")
        assert bench.first() == "b"

    asyncio.run(live())


def test_a_probe_does_not_end_an_ejection_early_and_calls_follow_if_probes_stop(tmp_path):
    breaker = Breaker()
    for _ in range(3):
        breaker.failed(0.0)
    assert not breaker.probe_answered(0.5)
    assert not breaker.admits(0.6)
    assert breaker.probe_answered(1.0)
    assert breaker.admits(1.1)
    for now in (2.0, 2.1):
        breaker.failed(now)
    breaker.probe_failed(4.0)
    assert [breaker.admits(now) for now in (13.9, 14.1)] == [False, True]


def test_a_probe_proves_nothing_about_answers_to_calls(tmp_path):
    async def live():
        bench = Bench(tmp_path, backend("a"), backend("b", priority=1))
        bench.eject("a", is_reachable=True)
        await bench.look_after(0.6)
        assert bench.connections.looked
        assert bench.router.is_ejected(bench.backends["a"])
        await bench.look_after(3.0)
        # Its time is over, and a call tries it.
        assert bench.router.is_ejected(bench.backends["a"])
        assert bench.first() == "a"

    asyncio.run(live())


@pytest.mark.parametrize("says", [500, 404, 405, 401, 429, NoRoom("all in use")])
def test_other_answers_say_nothing(tmp_path, says):
    async def live():
        bench = Bench(tmp_path, backend("a"))
        bench.eject()
        bench.connections.says = says
        await bench.look_after(0.9)
        assert bench.connections.looked
        assert bench.router.is_ejected(bench.backends["a"])
        bench.now += 0.2
        # Neither held back nor let in: after its second a call tries it.
        assert bench.first() == "a"

    asyncio.run(live())


@pytest.mark.parametrize("says", [502, 503, 529, TimeoutError()])
def test_an_idle_target_that_does_not_answer_three_probes_is_ejected(tmp_path, says):
    async def live():
        bench = Bench(tmp_path, backend("a"), backend("b", priority=1), probes="idle")
        bench.connections.says = says
        await bench.look_after(0.0)
        await bench.look_after(25.0, times=2)
        assert bench.router.ejected == 0
        # An answer to a call counts, and so does one to a probe.
        bench.connections.says = 200
        await bench.look_after(25.0)
        bench.connections.says = says
        await bench.look_after(25.0, times=2)
        assert bench.router.ejected == 0
        await bench.look_after(25.0)
        assert bench.router.ejected == 2

    asyncio.run(live())


def test_a_target_with_calls_is_not_asked_beside_them(tmp_path):
    async def live():
        bench = Bench(tmp_path, backend("a"), backend("b"), probes="idle")
        for _ in range(5):
            bench.router.succeeded(bench.backends["a"])
            await bench.look_after(25.0)
        assert {url for url, _ in bench.connections.looked} == {"http://b/v1/models"}
        # Once its calls end, it is.
        await bench.look_after(25.0)
        assert {url for url, _ in bench.connections.looked} == {"http://a/v1/models", "http://b/v1/models"}

    asyncio.run(live())


def test_an_address_is_not_asked_again_before_it_has_answered(tmp_path):
    async def live():
        bench = Bench(tmp_path, backend("a"))
        bench.connections.seconds = 0.3
        bench.eject()
        await bench.look_after(4.0, times=3)
        assert len(bench.connections.looked) == 1
        await until(lambda: not bench.prober._under_way, "its answer")
        bench.eject()
        await bench.look_after(4.0)
        assert len(bench.connections.looked) == 2

    asyncio.run(live())


def test_probes_do_not_hide_failures_of_calls(tmp_path):
    async def live():
        bench = Bench(tmp_path, backend("a"), probes="idle")
        await bench.look_after(0.0)
        for _ in range(2):
            bench.router.failed(bench.backends["a"], "connect")
            await bench.look_after(25.0)
        assert len(bench.connections.looked) == 2
        bench.router.failed(bench.backends["a"], "connect")
        assert bench.router.is_ejected(bench.backends["a"])

    asyncio.run(live())


@pytest.mark.parametrize(
    ("probes", "asked"),
    [(None, {"own"}), ("off", set()), ("ejected", {"own", "api"}), ("idle", {"own", "api"})],
)
def test_providers_are_asked_only_if_the_operator_says_so(tmp_path, probes, asked):
    async def live():
        provider = ProviderConfig(dialect="openai", headers={"x-org": "1"})
        bench = Bench(tmp_path, backend("own"), backend("api", provider=provider), probes=probes)
        bench.eject()
        # Probes of idle targets begin spread out, so the first look may be too early.
        await bench.look_after(2.0, times=2)
        assert {url.removeprefix("http://").partition("/")[0] for url, _ in bench.connections.looked} == asked

    asyncio.run(live())


def test_probes_are_few_at_once_and_targets_at_one_address_share_one(tmp_path):
    async def live():
        many = [backend(f"t{number}") for number in range(20)]
        same = [backend(f"s{number}", url="http://same/v1") for number in range(20)]
        bench = Bench(tmp_path, *many, *same)
        bench.eject()
        await bench.look_after(1.1, times=6)
        assert bench.connections.most_at_once <= 4
        urls = [url for url, _ in bench.connections.looked]
        assert len(set(urls)) == 21
        assert bench.router.ejected == 0

    asyncio.run(live())


async def probe_times(directory, seconds, chance, *, probes=None):
    """When a gateway probes its one target, which does not answer, in seconds; it looks every tenth of one."""
    bench = Bench(directory, backend("a"), chance=chance, probes=probes)
    bench.connections.says, bench.connections.seconds = ConnectError("refused"), 0
    if probes is None:
        bench.eject()
    times = []
    for tenth in range(round(seconds * 10)):
        before = len(bench.connections.looked)
        bench.now += 0.1
        bench.prober.look()
        for _ in range(5):
            await asyncio.sleep(0)
        times += [tenth / 10] * (len(bench.connections.looked) - before)
    return times


def test_gateways_do_not_probe_in_step(tmp_path):
    """Twelve that find a target away at one moment."""

    async def live():
        gateways = [await probe_times(tmp_path, 60, random.Random(seed).random) for seed in range(12)]
        for times in gateways:
            # Every two seconds, half of it more or less.
            assert all(0.95 < later - before < 3.15 for before, later in pairwise(times))
            assert 24 <= len(times) <= 36
        # They begin together, and after a few probes no tenth of a second has those of many.
        at_once = Counter(time for times in gateways for time in times)
        assert at_once[0.0] == 12
        later = [count for time, count in at_once.items() if time > 10]
        assert max(later) <= 4
        assert sum(later) / len(later) < 1.5

    asyncio.run(live())


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 1.0), (0.5, 2.0), (0.999, 3.0)])
def test_two_probes_are_half_of_the_wait_further_apart_at_most_or_closer(tmp_path, chance, wait):
    times = asyncio.run(probe_times(tmp_path, 20, lambda: chance))
    assert all(abs(later - before - wait) < 0.15 for before, later in pairwise(times))
    assert len(times) >= 6


def test_idle_targets_are_not_probed_by_all_gateways_after_a_start(tmp_path):
    async def live():
        firsts = [
            (await probe_times(tmp_path, 16, random.Random(seed).random, probes="idle"))[0]
            for seed in range(12)
        ]
        assert min(firsts) < 5
        assert max(firsts) > 10
        assert max(Counter(int(first) for first in firsts).values()) <= 3

    asyncio.run(live())


def test_time_outs_are_those_of_the_route():
    one = a_route(backend("a"), handling=HandlingConfig(connect_timeout_seconds=9)).groups[0][0]
    assert (one.connect_seconds(SettingsConfig()), one.probes) == (9, "ejected")


# Real sockets.


@pytest.fixture
def pair():
    backends = [ScriptedBackend(name) for name in ("first", "second")]
    yield backends
    for one in backends:
        one.close()


def probes_of(rig, one, result):
    return rig.gateway.metric(f'llm_backend_probes_total{{backend="{one.id}",result="{result}"}}')


def test_no_call_is_spent_on_an_engine_that_is_away(shared_rig, pair):
    first, second = pair
    with served(shared_rig, first.backend(), second.backend(priority=1)) as key:
        first.go_down()
        for _ in range(3):
            assert call(shared_rig, key).status_code == 200
        failures = f'llm_backend_failures_total{{backend="{first.id}",reason="connect"}}'
        assert shared_rig.gateway.metric(failures) == 3
        wait_until(lambda: probes_of(shared_rig, first, "down") >= 2, what="two probes")
        for _ in range(5):
            assert call(shared_rig, key).status_code == 200
        assert shared_rig.gateway.metric(failures) == 3
        wait_until(lambda: shared_rig.control.acks[-1].counters["backends_ejected"] >= 1, what="the ack")
        first.come_up()
        ejected = f'llm_backend_ejected{{backend="{first.id}"}}'
        wait_until(lambda: shared_rig.gateway.metric(ejected) == 0, what="its return")
        assert first.asked == []
        assert call(shared_rig, key).status_code == 200
        assert len(first.asked) == 1
        [(path, headers), *_] = first.looked
        assert path == "/v1/models"
        assert "authorization" not in {name.lower() for name in headers}


def test_a_provider_is_probed_with_its_credential_where_the_route_says_so(shared_rig, outside):  # noqa: F811
    away = {"content": {"error": {"message": "x"}}, "status": 503}
    own = target(shared_rig, outside, "azure", api_version="2024-10-21")
    outside.says(**away)
    outside.list_status = 503
    with served(shared_rig, own, model=OUTSIDE) as key:
        for _ in range(3):
            assert call(shared_rig, key, OUTSIDE).status_code in (502, 503)
        wait_until(
            lambda: shared_rig.gateway.metric(f'llm_backend_ejected{{backend="{outside.id}"}}') == 1,
            what="the ejection",
        )
        with pytest.raises(AssertionError):
            wait_until(lambda: outside.looked, 3, "a probe")
    with served(shared_rig, own, model=OUTSIDE, probes="ejected") as key:
        for _ in range(3):
            call(shared_rig, key, OUTSIDE)
        wait_until(lambda: probes_of(shared_rig, outside, "down") >= 1, what="a probe")
        path, headers = outside.looked[0]
        assert path == "/v1/models?api-version=2024-10-21"
        assert {name.lower(): value for name, value in headers.items()}["api-key"] == SECRET
        outside.says(plain())
        outside.list_status = 200
        wait_until(lambda: probes_of(shared_rig, outside, "up") >= 1, what="an answer")
        wait_until(lambda: call(shared_rig, key, OUTSIDE).ok, what="its return")
    assert SECRET not in shared_rig.gateway.log.read_text()


def test_a_probe_passes_the_walls_that_calls_pass(shared_rig, outside):  # noqa: F811
    """Without the operator's leave, nothing on this machine is asked by way of a provider."""
    own = target(shared_rig, outside)
    settings = shared_rig.settings
    shared_rig.settings = type(settings)()
    try:
        with served(shared_rig, own, model=OUTSIDE, probes="ejected") as key:
            for _ in range(3):
                assert call(shared_rig, key, OUTSIDE).status_code == 503
            wait_until(lambda: probes_of(shared_rig, outside, "down") >= 1, what="a probe")
            assert (outside.looked, outside.asked) == ([], [])
    finally:
        shared_rig.settings = settings
