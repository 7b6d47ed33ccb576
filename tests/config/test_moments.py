"""No test begins just before midnight or the end of half an hour, or expects much of an overloaded machine."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from tests import moments, patience


@pytest.mark.parametrize(
    ("clock", "waits"),
    [
        ("12:00:00", 0),
        ("12:29:55", 0),
        ("12:29:57", 3),
        ("12:59:57", 3),
        ("23:29:45", 0),
        ("23:59:29", 0),
        ("23:59:31", 29),
        ("23:59:59", 1),
        ("00:00:00", 0),
    ],
)
def test_a_test_waits_for_what_is_nearly_over(clock, waits):
    assert moments.seconds_to_wait(datetime.fromisoformat(f"2026-11-30T{clock}+00:00").timestamp()) == waits


def test_it_waits_before_each_test(monkeypatch, request):
    slept = []
    last = datetime(2026, 11, 30, 23, 59, 40, tzinfo=UTC).timestamp()
    monkeypatch.setattr(moments, "time", SimpleNamespace(time=lambda: last, sleep=slept.append))
    before_each = request.config.hook.pytest_runtest_setup.get_hookimpls()
    assert moments.pytest_runtest_setup in [one.function for one in before_each]
    moments.pytest_runtest_setup()
    assert slept == [20.0]


@pytest.mark.parametrize(("load", "times"), [(0.3, 1), (2.0, 1), (16.0, 8)])
def test_a_test_is_as_patient_as_its_machine_is_overloaded(monkeypatch, load, times):
    monkeypatch.setattr(patience.os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(patience.os, "cpu_count", lambda: 2)
    assert patience.overload() == times
