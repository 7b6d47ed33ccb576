"""A task does what it was told for the tenant it was told, whatever a message says.

Tasks are found in the Celery application. One that takes ids says whose: it carries `tenant_id` and works within
that tenant, or stands in PLATFORM_TASKS of tests/url_arguments.py with the reason why it needs none.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from uuid import uuid4

import pytest
from django.core import mail
from django.core.exceptions import ObjectDoesNotExist, ValidationError

from config.celery import app
from tests.isolation.sweep import snapshot_of_tenants
from tests.url_arguments import PLATFORM_TASKS

app.loader.import_default_modules()
OURS = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
NONSENSE = ["nothing", "number", "word", "star", "two", "nul"]
TAKING = {
    name: names for name, task in OURS.items() if (names := list(inspect.signature(task.run).parameters))
}
OF_A_TENANT = sorted(name for name, names in TAKING.items() if "tenant_id" in names)


def test_the_sweep_finds_the_tasks_it_is_for():
    assert {"exports.tasks.build_export", "deployments.tasks.reconcile_deployment"} <= set(TAKING)


def test_a_task_says_whose_rows_it_is_for():
    unsaid = {
        name for name, names in TAKING.items() if "tenant_id" not in names and name not in PLATFORM_TASKS
    }
    assert not unsaid, "Give these tasks a tenant_id, or a reason in PLATFORM_TASKS"
    assert set(PLATFORM_TASKS) <= set(TAKING), "Take tasks that are gone out of PLATFORM_TASKS"


def values_for(full_lab):
    """What a wrong message might carry: ids of the lab's rows, of nothing, and no ids at all."""
    rows = [str(row.pk) for row in full_lab.rows() if "-" in str(row.pk)]
    return [*rows, str(uuid4())]


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.EXPORT_DIR = tmp_path / "exports"


@pytest.mark.parametrize("name", OF_A_TENANT)
def test_a_message_with_a_foreign_id_changes_nothing_there(transactional_db, full_lab, stranger, name):
    elsewhere = str(stranger.memberships.get().tenant_id)
    before = snapshot_of_tenants()
    sent = len(mail.outbox)
    for value in values_for(full_lab):
        given = {one: elsewhere if one == "tenant_id" else value for one in TAKING[name]}
        # Celery would note it; nothing is done.
        with suppress(Exception):
            OURS[name](**given)
    assert snapshot_of_tenants() == before
    assert len(mail.outbox) == sent


@pytest.mark.parametrize("name", sorted(TAKING))
@pytest.mark.parametrize("nonsense", ["", "7", "no-id", "*", f"{uuid4()},{uuid4()}", "\0"], ids=NONSENSE)
def test_a_message_of_nonsense_does_nothing(transactional_db, full_lab, name, nonsense):
    before = snapshot_of_tenants()
    with suppress(ObjectDoesNotExist, ValidationError, ValueError):
        OURS[name](**dict.fromkeys(TAKING[name], nonsense))
    assert snapshot_of_tenants() == before


@pytest.mark.parametrize("name", OF_A_TENANT)
def test_no_tenant_is_not_all_tenants(transactional_db, full_lab, name):
    """The database reads `*` as the platform's scope; a message that says so opens nothing."""
    before = snapshot_of_tenants()
    for value in values_for(full_lab):
        with pytest.raises(ValueError):
            OURS[name](**{one: "*" if one == "tenant_id" else value for one in TAKING[name]})
    assert snapshot_of_tenants() == before
