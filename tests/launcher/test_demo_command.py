"""What `manage.py demo` says when it cannot start, and how other commands find a demo."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import local as local_module
from launcher.demo import Ports, accounts_table, application_environment
from launcher.local import LocalDirectory, adopt_demo_environment

REPOSITORY = Path(__file__).parents[2]


def run_demo(directory, **environment):
    kept = {"PATH": os.environ["PATH"], "LOCAL_DIR": str(directory)}
    return subprocess.run(
        [sys.executable, "manage.py", "demo"],
        env=kept | environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(("variable", "part"), [("CONSOLE_PORT", "console"), ("GATEWAY_PORT", "gateway")])
def test_a_taken_port_is_named_with_the_way_out(tmp_path, variable, part):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run_demo(tmp_path / "local", **{variable: str(port)})
    assert result.returncode == 1
    assert f"Port {port}, for the {part}, is in use" in result.stderr
    assert f"make demo {variable}=" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("value", ["http", "0", "70000", "-1"])
def test_a_port_that_is_none_is_refused_by_name(tmp_path, value):
    result = run_demo(tmp_path / "local", GATEWAY_PORT=value)
    assert result.returncode == 1
    assert "GATEWAY_PORT must be a port number" in result.stderr


def test_the_two_ports_must_differ(tmp_path):
    assert "must differ" in run_demo(tmp_path, CONSOLE_PORT="8123", GATEWAY_PORT="8123").stderr


def test_other_commands_adopt_the_environment_of_the_demo(tmp_path, monkeypatch):
    local = LocalDirectory(tmp_path)
    local.create()
    written = application_environment(local, Ports(8000, 8080)) | {"DATABASE_URL": "postgresql://a:p'w d@h/x"}
    local.write_environment(written)
    assert local.environment_file.stat().st_mode & 0o777 == 0o600
    environment = {"LOCAL_DIR": str(tmp_path), "CONSOLE_URL": "mine"}
    monkeypatch.setattr(local_module.os, "environ", environment)
    adopt_demo_environment()
    assert environment == written | {"LOCAL_DIR": str(tmp_path), "CONSOLE_URL": "mine"}


def test_a_given_database_keeps_the_demo_out(tmp_path, monkeypatch):
    LocalDirectory(tmp_path).write_environment({"SECRET_KEY": "demo"})
    environment = {"LOCAL_DIR": str(tmp_path), "DATABASE_URL": "mine"}
    monkeypatch.setattr(local_module.os, "environ", environment)
    adopt_demo_environment()
    assert "SECRET_KEY" not in environment


def test_secrets_are_made_once_and_differ_between_installations(tmp_path):
    for name in ("one", "two"):
        LocalDirectory(tmp_path / name).create()
    one, two = (LocalDirectory(tmp_path / name).remembered() for name in ("one", "two"))
    assert one == LocalDirectory(tmp_path / "one").remembered()
    assert not set(one.values()) & set(two.values())


def test_accounts_are_printed_as_a_table(tmp_path):
    local = LocalDirectory(tmp_path)
    local.accounts_file.write_text(
        '{"accounts": ['
        '{"email": "a@x.example", "password": "p", "token": "t", "role": "developer", "tenant": "lab"},'
        '{"email": "op@x.example", "password": "q", "token": "t", "role": "operator", "tenant": null}]}'
    )
    assert accounts_table(local) == [
        "  Role       Tenant  E-mail        Password",
        "  developer  lab     a@x.example   p",
        "  operator   –       op@x.example  q",
    ]
