"""What a gateway knows after everything, and after the changes since; both as one can compare them."""

from __future__ import annotations

import time
from contextlib import contextmanager

import msgspec
from django.db import transaction

from gateway.compile import compile_snapshot
from gateway.contract.stream import (
    Unpacker,
)
from gateway.contract.versions import PartReader
from gateway.proxy.config_build import IndexBuilder
from tests.gateway.granted import compiled, compiled_changes


def parts_of(body):
    reader = PartReader()
    return [reader.read(line) for line in Unpacker().feed(body)]


def put_on(index, body):
    """The index of a gateway that gets `body`."""
    builder = IndexBuilder(index)
    for line in Unpacker().feed(body):
        builder.take(line)
    return builder.index()


def everything():
    return put_on(None, compiled())


def changed(index):
    """The index after what changed since; None if only everything will do."""
    found = compiled_changes(index.revision, index.state)
    return None if found is None else put_on(index, found[1])


def known_to(index):
    """What a gateway makes of its index, as a snapshot writes it out; how much is used, it counts on by itself."""
    keys = [index.keys.get(digest.hex()) for digest in index.keys.records.keys]
    return without_used([key.config for key in keys if key], index.snapshot)


def without_used(keys, snapshot):
    moment = time.time()
    told = {}
    for key in keys:
        if key.expires_at is not None and key.expires_at <= moment:
            # A gateway refuses it by itself, and so does it with models.
            continue
        models = [model for model in key.models if key.grant_ends[model] > moment]
        limits = [
            msgspec.structs.replace(limit, used=None, used_as_of=None)
            for limit in key.limits
            if limit.model in {None, *models}
        ]
        ends = {model: key.grant_ends[model] for model in models}
        told[key.key_id] = msgspec.structs.replace(key, limits=limits, models=models, grant_ends=ends)
    return told, snapshot.routes, snapshot.prices, snapshot.settings


def assert_same(index):
    """The gateway knows exactly what a new one would be told."""
    snapshot = compile_snapshot()
    fresh = everything()
    assert index.revision == fresh.revision == snapshot.revision
    assert known_to(index) == known_to(fresh) == without_used(snapshot.keys, snapshot)


@contextmanager
def rolled_back():
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
