"""Rows of libraries are deleted by Django's own forms, in our frame: what goes, then one button."""

import re

import pytest
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from tests.config.test_staff_pages_keep_the_policy import Foreign
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(client):
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


def test_one_row_and_chosen_rows_are_deleted_once_somebody_has_seen_what_goes(root):
    one, other = CrontabSchedule.objects.create(), CrontabSchedule.objects.create(minute="5")
    rows = reverse("admin:django_celery_beat_crontabschedule_changelist")
    chosen = {"action": "delete_selected", "_selected_action": [str(one.pk)]}
    page = reverse("admin:django_celery_beat_crontabschedule_delete", args=[other.pk])
    for shown in (root.post(rows, chosen), root.get(page)):
        text = shown.content.decode()
        assert shown.status_code == 200
        assert "All of this is deleted, and cannot be restored:" in text
        assert 'class="btn btn-danger-fill"' in text
        assert Foreign(text).found == set()
    assert CrontabSchedule.objects.count() == 2
    assert root.post(rows, chosen | {"post": "yes"}).status_code == 302
    assert root.post(page, {"post": "yes"}).status_code == 302
    assert not CrontabSchedule.objects.exists()


def test_what_goes_with_a_row_is_named_and_counted(root):
    row = CrontabSchedule.objects.create()
    PeriodicTask.objects.create(name="nightly sums", task="task", crontab=row)
    page = root.get(
        reverse("admin:django_celery_beat_crontabschedule_delete", args=[row.pk])
    ).content.decode()
    assert re.search(r"<dt>Periodic tasks</dt>\s*<dd[^>]*>\s*1\s*</dd>", page)
