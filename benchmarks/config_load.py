"""Measure what many keys cost a gateway alone: reading its copy on disk, memory, and the change of one key.

    python -m benchmarks.config_load [--keys 400000] [--changes 20]

No console, no database and no HTTP: a copy on disk like that of benchmarks/config.py (2,000 tenants, one with a
twentieth of the keys, and a limit for each key), read in a process of its own. Seconds of processor time from the
kernel, so that a busy machine changes little; `ready` is by the clock, and includes the start of Python. Memory is that
of a key with its limit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from gateway.contract import SettingsConfig
from gateway.contract.stream import (
    RECORDS_IN_A_LINE,
    ConfigEnd,
    ConfigHead,
    ConfigPart,
    ConfigRecords,
    ConfigRouting,
    KeyRecord,
    LimitSetting,
    LimitsRecord,
    ProjectRecord,
    TenantRecord,
    pack,
)

TENANTS = 2000
MODELS = [f"model-{number}" for number in range(24)]
ISSUED_AT = "2026-11-29T17:00:00.000Z"
NEVER_ENDS = 4_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keys", type=int, default=400_000)
    parser.add_argument("--changes", type=int, default=20, help="changes of one key that are timed")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read, options.keys, options.changes)
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "snapshot.json"
        write(path, options.keys)
        print(f"{options.keys:,} keys: {path.stat().st_size / 1e6:.1f} MB on disk", flush=True)
        command = [sys.executable, "-m", "benchmarks.config_load", "--read", path]
        began = time.perf_counter()
        subprocess.run(
            [*command, "--keys", str(options.keys), "--changes", str(options.changes)],
            check=True,
            env={**os.environ, "STARTED": str(began)},
        )


def write(path: Path, keys: int) -> None:
    """Write what a gateway would keep of a control plane with so many keys."""
    with path.open("wb") as file:
        for part in everything(keys):
            file.write(pack([part]))


def everything(keys: int) -> Iterator[ConfigPart]:
    """Yield a configuration: head, tenants and projects, keys and limits, routes, end."""
    settings = SettingsConfig()
    yield ConfigHead(revision=1, issued_at=ISSUED_AT, after=None, state="s", settings=settings)
    ids = random.Random(1)

    def new_id() -> str:
        return str(uuid.UUID(int=ids.getrandbits(128)))

    tenants = [TenantRecord(id=new_id(), slug=f"tenant-{number}") for number in range(TENANTS)]
    projects = [
        ProjectRecord(
            id=new_id(),
            slug=f"project-{number}",
            tenant_id=tenants[number % TENANTS].id,
            grant_ends=dict.fromkeys(MODELS[:8], NEVER_ENDS),
        )
        for number in range(3 * TENANTS)
    ]
    for first in range(0, len(projects), RECORDS_IN_A_LINE):
        some = slice(first, first + RECORDS_IN_A_LINE)
        yield ConfigRecords(tenants=tenants[some], projects=projects[some])
    for first in range(0, keys, RECORDS_IN_A_LINE):
        some_keys, some_limits = [], []
        for number in range(first, min(first + RECORDS_IN_A_LINE, keys)):
            key_id = new_id()
            # A twentieth of the keys belong to the first tenant.
            project = projects[number % 3 * TENANTS if number % 20 == 0 else number % len(projects)]
            some_keys.append(
                KeyRecord(
                    digest=hashlib.sha256(key_id.encode()).hexdigest(),
                    key_id=key_id,
                    prefix=f"qm_{number:06x}",
                    project_id=project.id,
                    models=MODELS[number % 5 : number % 5 + 3],
                )
            )
            limit = LimitSetting(id=new_id(), kind="tokens_per_day", value=10**6, used=number)
            some_limits.append(
                LimitsRecord(
                    scope="key",
                    scope_id=key_id,
                    limits=[limit],
                    time_zone="Europe/Berlin",
                    used_as_of=1_790_000_000,
                )
            )
        yield ConfigRecords(keys=some_keys, limits=some_limits)
    yield ConfigRouting(routes=[], prices=[])
    yield ConfigEnd(revision=1)


def read(path: Path, keys: int, changes: int) -> None:
    """In a process of its own: read the copy, and change one key again and again."""
    from benchmarks.config import peak_megabytes, resident_megabytes
    from gateway.proxy.config_build import IndexBuilder
    from gateway.proxy.config_store import ConfigStore

    before, began = resident_megabytes(os.getpid()), time.process_time()
    index = ConfigStore(path).load()
    used = time.process_time() - began
    assert index is not None
    assert len(index.keys) == keys
    now = resident_megabytes(os.getpid())
    ready = time.perf_counter() - float(os.environ["STARTED"])
    print(f"read: {used:.2f} s of processor time; ready {ready:.1f} s after the start, by the clock")
    print(
        f"memory: {now:.0f} MB, at most {peak_megabytes():.0f} MB; {(now - before) / keys * 1e6:.0f} bytes a key"
    )
    one = next(iter(everything_keys(keys)))
    times = []
    for number in range(changes):
        changed = KeyRecord(**{**fields(one), "networks": [f"10.{number}.0.0/16"]})
        parts = [
            ConfigHead(
                revision=number + 2,
                issued_at=ISSUED_AT,
                after=number + 1,
                state="s",
                settings=index.settings,
            ),
            ConfigRecords(keys=[changed]),
            ConfigEnd(revision=number + 2),
        ]
        began = time.process_time()
        builder = IndexBuilder(index)
        for part in parts:
            builder.take_part(part)
        index = builder.index()
        found = index.keys.get(one.digest)
        times.append((time.process_time() - began) * 1000)
        assert found is not None
        assert str(found.networks[0]) == f"10.{number}.0.0/16"
    print(f"one changed key: {statistics.median(times):.2f} ms, worst {max(times):.2f}")


def everything_keys(keys: int) -> Iterator[KeyRecord]:
    """Yield the keys of the configuration."""
    for part in everything(keys):
        if isinstance(part, ConfigRecords):
            yield from part.keys


def fields(key: KeyRecord) -> dict[str, object]:
    return {name: getattr(key, name) for name in key.__struct_fields__}


if __name__ == "__main__":
    main()
