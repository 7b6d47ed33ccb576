"""A change travels alone: one row as one row, and everything where only everything will do."""

from __future__ import annotations

import threading
import time
from contextvars import copy_context
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from gateway import snapshots
from gateway.contract.signatures import Message
from gateway.contract.stream import (
    CONFIG_TYPE,
    KEEP_ALIVE,
    ConfigHead,
    ConfigRecords,
    ConfigRouting,
)
from gateway.contract.versions import READABLE, VERSIONS_HEADER
from gateway.snapshots import shared_snapshots
from tenants import revision as revisions
from tenants.actions import set_limits
from tenants.models import ApiKey
from tenants.revision import current_revision, raise_revision
from tests.factories import CatalogModelFactory, ProjectFactory, TenantFactory
from tests.gateway.control_indexes import (
    assert_same,
    changed,
    everything,
    parts_of,
    put_on,
    rolled_back,
)
from tests.gateway.granted import RouteEntryFactory, compiled_changes, key_for, registered

CONFIG = "/internal/v1/config"


# --- one key ---


def test_one_changed_key_travels_as_one_key(project):
    model = CatalogModelFactory()
    keys = [key_for(project, model) for _ in range(5)]
    raise_revision()
    index = everything()
    ApiKey.objects.across_tenants().filter(pk=keys[2].pk).update(networks=["10.0.0.0/8"])
    raise_revision(keys=[keys[2].pk])
    _, body = compiled_changes(index.revision, index.state)
    records = [part for part in parts_of(body) if isinstance(part, ConfigRecords)]
    assert [key.key_id for part in records for key in part.keys] == [str(keys[2].pk)]
    assert sum(len(part.projects) + len(part.tenants) for part in records) == 2, "its project and its tenant"
    assert not [part for part in parts_of(body) if isinstance(part, ConfigRouting)], "routes are the same"
    assert put_on(index, body).keys.get(keys[2].digest).config.networks == ["10.0.0.0/8"]


def test_a_suspended_tenant_travels_as_one_id_and_comes_back_as_one(project, operator):
    from tenants.actions import resume_tenant, suspend_tenant

    keys = [key_for(project, CatalogModelFactory()) for _ in range(3)]
    raise_revision()
    index = everything()
    suspend_tenant(project.tenant.pk, by=operator, reason="unpaid")
    _, body = compiled_changes(index.revision, index.state)
    assert [len(part.keys) for part in parts_of(body) if isinstance(part, ConfigRecords)] == [0]
    index = put_on(index, body)
    assert [index.keys.get(key.digest) for key in keys] == [None] * 3
    resume_tenant(project.tenant.pk, by=operator)
    index = changed(index)
    assert all(index.keys.get(key.digest) for key in keys)
    assert_same(index)


@pytest.mark.django_db
def test_the_number_of_queries_for_one_key_does_not_grow_with_keys():
    def fill(times):
        for _ in range(times):
            key = key_for(ProjectFactory(tenant=TenantFactory()), RouteEntryFactory().route.model)
            set_limits(key.tenant, {"tokens_per_day": Decimal(9)}, by=None, key=key)
        raise_revision()
        index = everything()
        raise_revision(keys=[key.pk])
        return index

    index = fill(1)
    with CaptureQueriesContext(connection) as few:
        assert changed(index) is not None
    index = fill(6)
    with CaptureQueriesContext(connection) as many:
        assert changed(index) is not None
    # One of them is for the keys that sign.
    assert len(many) == len(few) <= 25


# --- when everything is told ---


def test_who_raises_the_revision_without_a_name_has_everything_told(project):
    key_for(project, CatalogModelFactory())
    raise_revision()
    index = everything()
    raise_revision(keys=[])
    raise_revision()
    raise_revision(keys=[])
    assert changed(index) is None


@pytest.mark.django_db
def test_a_revision_raised_by_hand_has_everything_told():
    raise_revision()
    index = everything()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_configrevision SET number = number + 1")
    assert changed(index) is None
    raise_revision(routing=True)
    assert changed(index) is None
    assert everything().state, "from here on changes can be told again"


@pytest.mark.django_db
def test_a_database_that_was_restored_builds_no_changes_on_what_it_never_said():
    """Both histories have a revision 2; the gateway has that of the one that is lost."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tenants_configchange")
        cursor.execute("DELETE FROM tenants_configrevision")
    raise_revision(routing=True)
    with rolled_back():
        raise_revision(routing=True)
        index = everything()
    raise_revision(routing=True)
    assert (index.revision, current_revision()) == (2, 2)
    raise_revision(routing=True)
    assert compiled_changes(2, index.state) is None
    assert compiled_changes(2, "") is None
    assert compiled_changes(2, "nonsense.") is None


@pytest.mark.django_db
def test_changes_that_are_too_old_are_forgotten_and_everything_is_told(monkeypatch):
    monkeypatch.setattr(revisions, "KEPT_CHANGES", 3)
    raise_revision(routing=True)
    index = everything()
    for _ in range(3):
        raise_revision(routing=True)
    assert changed(index) is not None
    raise_revision(routing=True)
    assert revisions.forget_changes() >= 1
    assert changed(index) is None


def test_a_key_whose_row_is_gone_has_everything_told(project):
    key = key_for(project)
    raise_revision()
    index = everything()
    raise_revision(keys=[key.pk])
    ApiKey.objects.across_tenants().filter(pk=key.pk).delete()
    assert changed(index) is None


# --- in order ---


@pytest.mark.django_db(transaction=True)
def test_who_raises_second_waits_for_the_commit_of_who_raised_first():
    """Else 8 could be told before 7 was committed, and its change would be lost for ever."""
    raise_revision()
    index = everything()
    order = []
    raised, may_commit = threading.Event(), threading.Event()

    def first():
        with transaction.atomic():
            number = raise_revision(keys=[])
            raised.set()
            may_commit.wait(60)
            order.append(number)
        connection.close()

    def second():
        raised.wait(60)
        with transaction.atomic():
            order.append(raise_revision(keys=[]))
        connection.close()

    threads = [threading.Thread(target=copy_context().run, args=[work]) for work in (first, second)]
    for thread in threads:
        thread.start()
    raised.wait(60)
    time.sleep(0.3)
    assert current_revision() == index.revision, "nothing is visible before the first has committed"
    assert order == []
    may_commit.set()
    for thread in threads:
        thread.join(60)
    assert order == [index.revision + 1, index.revision + 2]
    assert changed(index).revision == index.revision + 2


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_leaves_nothing_behind():
    raise_revision()
    index = everything()
    with rolled_back():
        raise_revision()
    raise_revision(keys=[])
    assert changed(index).revision == index.revision + 1


# --- over HTTP ---


def ask(headers, after, state=""):
    answer = Client().get(
        CONFIG,
        {"after": after, "wait": 0, "state": state},
        headers={**headers, "Accept": CONFIG_TYPE, VERSIONS_HEADER: READABLE},
    )
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return answer, body


def test_a_gateway_that_accepts_lines_gets_everything_and_then_what_changed(project):
    key = key_for(project, CatalogModelFactory())
    newest = raise_revision()
    _, headers = registered()
    answer, body = ask(headers, 0)
    assert (answer.status_code, answer["Content-Type"]) == (200, CONFIG_TYPE)
    assert answer["x-config-revision"] == str(newest)
    index = put_on(None, body)
    raise_revision(keys=[key.pk])
    answer, body = ask(headers, newest, index.state)
    assert parts_of(body)[0].after == newest
    assert put_on(index, body).revision == newest + 1
    _, body = ask(headers, newest, "of somebody else")
    assert parts_of(body)[0].after is None


@pytest.mark.django_db(transaction=True)
def test_everything_is_compiled_in_a_thread_once_for_all_who_ask():
    newest = raise_revision()
    _, headers = registered()
    bodies = [ask(headers, 0)[1] for _ in range(3)]
    assert {put_on(None, body).revision for body in bodies} == {newest}
    assert len({next(iter(parts_of(body))).issued_at for body in bodies}) == 1
    assert isinstance(parts_of(bodies[0])[0], ConfigHead)
    assert shared_snapshots.everything(0, 2).revision == newest


# --- while it is compiled ---


def test_the_first_byte_comes_at_once_and_others_while_the_compilation_takes_its_time(monkeypatch):
    """A gateway gives up after 40 seconds without a byte."""
    may_go_on = threading.Event()

    def slowly(version):
        may_go_on.wait(60)
        yield b"everything"
        yield Message(2, 7, None, "", b"")

    made = snapshots.Compilation("a database", 7, 2)
    reading = made.read(lambda message: b"end")
    began = time.monotonic()
    assert next(reading) == KEEP_ALIVE, "before anything was compiled"
    assert time.monotonic() - began < snapshots.KEEP_ALIVE_SECONDS / 2
    monkeypatch.setattr(snapshots, "KEEP_ALIVE_SECONDS", 0.02)
    thread = threading.Thread(target=made.run, args=[slowly])
    thread.start()
    assert [next(reading) for _ in range(3)] == [KEEP_ALIVE] * 3
    may_go_on.set()
    thread.join(60)
    assert [member for member in reading if member != KEEP_ALIVE] == [b"everything", b"end"]
    assert b"everything" in list(made.read(lambda message: b"end")), "whoever asks later reads the same"


def test_an_answer_whose_compilation_fails_breaks_off_instead_of_ending():
    def fails(version):
        yield b"half"
        raise ValueError("the database has gone")

    made = snapshots.Compilation("a database", 7, 2)
    with pytest.raises(ValueError):
        made.run(fails)
    reading = made.read(lambda message: b"end")
    with pytest.raises(snapshots.CompilationFailed):
        list(reading)
