"""Which tests run first: those that take long in one piece, or that share servers which take long to start.

A worker without tests takes half of those that another one has not begun, from the end. The first worker keeps what is
first. Otherwise the last one would still run a long test, while another starts the same servers for the rest of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LONG = (
    "browser",
    "demo",
    "gateway/test_end_to_end.py",
    "gateway/test_litellm_as_provider.py",
    "gateway/test_litellm_plugin.py",
    "test_celery_worker.py",
    "test_benchmarks.py",
    "gateway/test_console_away.py",
    "test_select_boxes.py",
    "api/test_schemathesis.py",
    "isolation/test_filters.py",
    "isolation/test_caches.py",
    "tenants/test_membership_properties.py",
    "audit/test_staff_reads_everywhere.py",
)


def long_first(paths: Sequence[Path]) -> list[int]:
    """Return the places of the tests in these files, as they should run; tests of a file stay together."""
    ranks = {TESTS / name: rank for rank, name in enumerate(LONG)}

    def rank(at: int) -> int:
        path = paths[at]
        return min(ranks.get(one, len(LONG)) for one in (path, path.parent))

    return sorted(range(len(paths)), key=rank)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first."""
    items[:] = [items[at] for at in long_first([item.path for item in items])]
