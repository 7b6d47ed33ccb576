"""Benchmarks start from any checkout, and run."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import scratch
from benchmarks.__main__ import benchmarks
from benchmarks.figures import Figure, Figures, Table
from benchmarks.gateway_litellm import litellm
from benchmarks.gateway_ways import upstream
from benchmarks.large_server import is_changed, migrations
from benchmarks.litellm_limits import assert_limits_hold
from tests.litellm.proxy import virtualenv

ROOT = Path(__file__).resolve().parents[1]


def test_each_benchmark_is_listed_with_what_it_measures():
    listed = subprocess.run(["make", "bench"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert listed.returncode == 0, listed.stderr
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "\ndef main()" in path.read_text()}
    assert benchmarks().keys() == modules - {"__main__"}
    for name, sentence in benchmarks().items():
        assert sentence.endswith("."), name
        assert name in listed.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("limits", "--calls", "32", "--rounds", "1"),
        ("spool", "--calls", "32"),
        ("config_load", "--keys", "400", "--changes", "2"),
        ("gateway", "--parts", "costs,paced", "--seconds", "0.3", "--rounds", "1", "--without", "litellm"),
        (
            "gateway",
            "--parts",
            "answers,workers",
            "--seconds",
            "0.3",
            "--rounds",
            "1",
            "--without",
            "litellm",
        ),
        ("gateway", "--parts", "keys", "--keys", "400,800", "--changes", "2"),
        ("gateway", "--soak", "3"),
    ],
)
def test_benchmarks_that_need_no_database_run_in_small(arguments):
    command = [sys.executable, "-m", f"benchmarks.{arguments[0]}", *arguments[1:]]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("\n") >= 4


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_what_a_benchmark_imports_exists(path):
    """Those that need a large database are not run here, and import most of it inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("litellm"):
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                submodule = f"{node.module}.{name}"
                is_there = hasattr(module, name) or (
                    hasattr(module, "__path__") and importlib.util.find_spec(submodule)
                )
                assert is_there, f"line {node.lineno}: {submodule}"


def test_the_limits_of_the_litellm_that_is_compared_hold(tmp_path):
    virtualenv()
    with upstream() as (port, _):
        # It raises AssertionError if one does not.
        with litellm("litellm", tmp_path, port):
            pass
        # Which it could: nothing is counted here.
        with pytest.raises(AssertionError, match="holds nobody back"):
            assert_limits_hold(port, seconds=1)


def test_a_benchmark_of_too_few_audit_entries_says_how_many_it_needs():
    command = [sys.executable, "-m", "benchmarks.audit", "--entries", "10000"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 2
    assert "--entries must be above 10,000" in ran.stderr


def test_after_the_demo_alone_the_packages_of_the_tests_are_installed_first(tmp_path, monkeypatch):
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    make.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    scratch.install_what_is_missing()
    assert not (tmp_path / "asked").exists()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    scratch.install_what_is_missing()
    assert (tmp_path / "asked").read_text().split()[-1] == "venv-dev"


def test_the_table_shows_what_was_before_and_what_misses_its_bar(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.figures.BEFORE", tmp_path / "before.json")
    before = {
        "13 sent": {"value": 387, "is_reported": True},
        "15 share": {"value": 0.15},
        "16 hourly": {"work": "never"},
    }
    (tmp_path / "before.json").write_text(json.dumps(before))

    def figures():
        yield Figure("sent", 59.4, "MB", 40)
        yield Figure("share", 0.25, "", 0.35, more_is_better=True)

    def fails():
        raise RuntimeError("no server")
        yield

    table = Table(with_before=True)
    table.print([Figures("15", "some", figures), Figures("16", "hourly", fails)])
    table.save(tmp_path / "found.json")
    _, sent, share, hourly = capsys.readouterr().out.splitlines()
    assert sent.split() == ["15", "sent", "59.4", "MB", "over", "40"]
    assert share.split() == ["15", "share", "0.15", "0.25", "under", "0.35"]
    assert hourly.split() == ["16", "hourly", "never", "RuntimeError:", "no", "server"]
    assert json.loads((tmp_path / "found.json").read_text())["15 sent"] == {"value": 59.4, "unit": "MB"}
    table.print([Figures("13", "some", figures)])
    _, sent, share, note = capsys.readouterr().out.splitlines()
    assert sent.split() == ["13", "sent", "387.0*", "59.4", "MB", "over", "40"]
    assert note.startswith("* as reported")


@pytest.mark.timeout(600)
def test_recording_usage_is_measured_on_a_server_of_its_own():
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    command = [
        sys.executable,
        "-m",
        "benchmarks.ingest",
        "--calls",
        "2000",
        "--rounds",
        "1",
        "--batch",
        "1000",
    ]
    result = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "bare COPY" in result.stdout


def test_a_kept_database_is_built_anew_if_its_migrations_were_edited(tmp_path):
    (tmp_path / "app" / "migrations").mkdir(parents=True)
    first = tmp_path / "app" / "migrations" / "0001_first.py"
    first.write_text("a = 1")
    built_with = migrations(tmp_path)
    (tmp_path / "app" / "migrations" / "0002_second.py").write_text("b = 1")
    assert not is_changed(built_with, migrations(tmp_path))
    first.write_text("a = 2")
    assert is_changed(built_with, migrations(tmp_path))
    first.unlink()
    assert is_changed(built_with, migrations(tmp_path))
    assert "tenants/migrations/0001_initial.py" in migrations()
