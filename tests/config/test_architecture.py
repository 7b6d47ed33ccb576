"""docs/architecture.md is a map of what is there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import grimp
import pytest

PAGE = Path("docs/architecture.md").read_text()
PACKAGES = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
NAMES = sorted(
    {name for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", PAGE) if name.split(".")[0] in PACKAGES}
)
PATHS = sorted(
    {path for path in re.findall(r"`([\w/]+\.py|[\w]+/\w+)`", PAGE) if path.split("/")[0] in PACKAGES}
)


def test_every_package_of_ours_is_on_the_map():
    here = {path.parent.name for path in Path().glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert set(PACKAGES) == here


@pytest.mark.parametrize("name", NAMES)
def test_what_is_named_is_there(name):
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return
    pytest.fail(f"no module {parts[0]}")


@pytest.mark.parametrize("path", PATHS)
def test_paths_lead_somewhere(path):
    assert Path(path).exists()


def test_no_package_is_more_than_a_quarter_of_the_lines():
    """The data plane counts apart from the package that holds its console side: it is a program of its own."""
    lines = {
        package: sum(path.read_text().count("\n") for path in Path(package).rglob("*.py"))
        for package in (*PACKAGES, "gateway/proxy")
    }
    lines["gateway"] -= lines["gateway/proxy"]
    assert max(lines.values()) <= sum(lines.values()) / 4, lines


def test_no_circle_of_imports_has_more_than_two_files():
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert not [sorted(circle) for circle in circles(imports) if len(circle) > 2]


def circles(arrows):
    """The strongly connected components of a directed graph, by Kosaraju's algorithm."""
    order, seen = [], set()
    for start in arrows:
        path = [(start, iter(arrows[start]))] if start not in seen else []
        seen.add(start)
        while path:
            node, following = path[-1]
            for other in following:
                if other not in seen:
                    seen.add(other)
                    path.append((other, iter(arrows[other])))
                    break
            else:
                order.append(node)
                path.pop()
    backwards = {node: set() for node in arrows}
    for node, others in arrows.items():
        for other in others:
            backwards[other].add(node)
    placed = set()
    for start in reversed(order):
        circle, waiting = set(), [start]
        while waiting:
            node = waiting.pop()
            if node not in placed:
                placed.add(node)
                circle.add(node)
                waiting += backwards[node]
        yield circle
