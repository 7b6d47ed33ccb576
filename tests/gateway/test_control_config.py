"""Gateways fetch their configuration by a long poll that ends as soon as there is something new."""

import threading
import time
from contextvars import copy_context

import pytest
from django.db import connection, transaction
from django.test import Client

from gateway import actions, views
from gateway.contract import ConfigSnapshot, decode
from tenants.revision import raise_revision
from tests.factories import CatalogModelFactory
from tests.gateway.granted import key_for, registered

CONFIG = "/internal/v1/config"


def ask(headers, after, wait=0):
    return Client().get(CONFIG, {"after": after, "wait": wait}, headers=headers)


def ask_in_thread(headers, after, wait):
    """Ask as a thread of the console would; returns the thread and where its answer and time will be."""
    seen = {}

    def work():
        answer = ask(headers, after, wait)
        seen["at"], seen["status"] = time.monotonic(), answer.status_code
        seen["revision"] = answer.headers.get("x-config-revision")
        connection.close()

    thread = threading.Thread(target=copy_context().run, args=[work])
    thread.start()
    return thread, seen


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(0.01)


def waiting_now():
    return views.waiting._initial_value - views.waiting._value


def test_a_gateway_that_knows_nothing_gets_everything_at_once(project):
    key = key_for(project, CatalogModelFactory())
    newest = raise_revision()
    _, headers = registered()
    answer = ask(headers, after=0, wait=25)
    snapshot = decode(ConfigSnapshot, answer.content)
    assert (answer.status_code, snapshot.revision) == (200, newest)
    assert answer.headers["x-config-revision"] == str(newest)
    assert [one.key_id for one in snapshot.keys] == [str(key.pk)]


@pytest.mark.django_db
def test_nothing_new_is_204_and_says_which_revision_is_newest():
    newest = raise_revision()
    _, headers = registered()
    answer = ask(headers, after=newest)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["x-config-revision"] == str(newest)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("after", "wait"), [("-1", "0"), ("x", "0"), ("0", "1.5"), ("0", "٣"), ("9" * 19, "0")]
)
def test_a_question_that_makes_no_sense_is_400(after, wait):
    _, headers = registered()
    answer = ask(headers, after, wait)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.django_db
@pytest.mark.parametrize("path", [CONFIG, "/internal/v1/gateways/gateway-1/ack", "/internal/v1/usage"])
@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer qmg_short", "Basic eDp5", "Bearer qmg_" + "A" * 49, "Bearer \u00e9"],
)
def test_nobody_but_a_gateway_is_answered(path, authorization):
    headers = {"Authorization": authorization} if authorization else {}
    action = Client().get if path == CONFIG else Client().post
    answer = action(path, headers=headers)
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "not_signed_in"


@pytest.mark.django_db
def test_a_revoked_gateway_is_refused_and_a_renewed_token_replaces_the_old():
    gateway, headers = registered()
    _, secret = actions.renew_gateway_token(gateway.pk, by=None)
    assert ask(headers, after=0).status_code == 401
    assert ask({"Authorization": f"Bearer {secret}"}, after=0).status_code in (200, 204)
    actions.revoke_gateway(gateway.pk, by=None)
    assert ask({"Authorization": f"Bearer {secret}"}, after=0).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_a_waiting_gateway_hears_of_a_change_within_200_ms_of_its_commit():
    newest = raise_revision()
    _, headers = registered()
    delays, at_once = [], []
    for revision in range(newest + 1, newest + 10):
        thread, seen = ask_in_thread(headers, after=revision - 1, wait=10)
        wait_until(lambda: waiting_now() == 1)
        with transaction.atomic():
            raise_revision()
            time.sleep(0.05)
            assert not seen, "the change was told before it was committed"
        committed_at = time.monotonic()
        thread.join(60)
        assert (seen["status"], seen["revision"]) == (200, str(revision))
        delays.append(seen["at"] - committed_at)
        asked_at = time.monotonic()
        assert ask(headers, after=revision - 1).status_code == 200
        at_once.append(time.monotonic() - asked_at)
    # A busy machine delays most answers, and those who need not wait for a change as well.
    assert sorted(delays)[2] < 0.2 + 3 * sorted(at_once)[4], (delays, at_once)


@pytest.mark.django_db(transaction=True)
def test_a_waiting_gateway_holds_no_connection_of_the_consoles():
    newest = raise_revision()
    _, headers = registered()
    # The watch has its own connection from now on.
    ask(headers, newest, wait=1)
    before = count_connections()
    threads = [ask_in_thread(headers, newest, wait=3)[0] for _ in range(4)]
    # A connection that was given back is listed until its server process has ended.
    try:
        wait_until(lambda: waiting_now() == 4 and count_connections() == before)
    finally:
        raise_revision()
        for thread in threads:
            thread.join(60)


@pytest.mark.django_db(transaction=True)
def test_a_poll_ends_with_204_after_its_time(settings):
    # Asking for longer does not help.
    settings.CONFIG_POLL_SECONDS = 1
    newest = raise_revision()
    _, headers = registered()
    began = time.monotonic()
    assert ask(headers, newest, wait=60).status_code == 204
    assert 0.9 < time.monotonic() - began < 30


@pytest.mark.django_db(transaction=True)
def test_more_gateways_than_the_console_has_room_for_are_told_to_come_back(monkeypatch):
    monkeypatch.setattr(views, "waiting", threading.BoundedSemaphore(1))
    newest = raise_revision()
    _, headers = registered()
    thread, seen = ask_in_thread(headers, newest, wait=10)
    wait_until(lambda: waiting_now() == 1)
    answer = ask(headers, newest, wait=10)
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert ask(headers, newest - 1, wait=10).status_code == 200, "what is known is told at once, room or not"
    raise_revision()
    thread.join(60)
    assert (seen["status"], waiting_now()) == (200, 0)


@pytest.mark.django_db(transaction=True)
def test_a_lost_notification_costs_a_second_and_no_more(settings):
    settings.CONFIG_POLL_SECONDS = 60
    newest = raise_revision()
    _, headers = registered()
    # The watch is listening from now on.
    ask(headers, newest, wait=1)
    thread, seen = ask_in_thread(headers, newest, wait=60)
    wait_until(lambda: waiting_now() == 1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_configrevision SET number = number + 1")  # and no NOTIFY
    began = time.monotonic()
    thread.join(60)
    assert seen["status"] == 200
    assert seen["at"] - began < 30, "it did not wait until the poll's own end"


def count_connections():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]
