"""Reading the copy on disk pauses the garbage collector, and never leaves it off."""

import gc

import pytest

from gateway.contract import ContractError
from gateway.contract.versions import PartReader
from gateway.proxy.config_store import ConfigStore
from tests.gateway.config_lines import everything, key


def test_the_garbage_collector_pauses_while_the_copy_is_read(tmp_path, monkeypatch):
    (tmp_path / "snapshot.json").write_bytes(everything(1, key(0)))
    read, seen = PartReader.read, []

    def watched(reader, line):
        seen.append(gc.isenabled())
        return read(reader, line)

    monkeypatch.setattr(PartReader, "read", watched)
    assert len(ConfigStore(tmp_path / "snapshot.json").load().keys) == 1
    assert seen
    assert not any(seen)
    assert gc.isenabled()


def test_it_runs_again_after_a_copy_that_cannot_be_used(tmp_path):
    (tmp_path / "snapshot.json").write_bytes(everything(1, key(0))[:20])
    with pytest.raises(ContractError):
        ConfigStore(tmp_path / "snapshot.json").load()
    assert gc.isenabled()


def test_it_stays_off_where_it_was_off(tmp_path):
    gc.disable()
    try:
        assert ConfigStore(tmp_path / "snapshot.json").load() is None
        assert not gc.isenabled()
    finally:
        gc.enable()
