"""What the staff site serves needs no script of Unfold's and no style that the content security policy blocks.

Its templates have both. Those that a page of ours or of a library reaches are replaced below templates/.
"""

from html.parser import HTMLParser

import pytest
from django.utils.timezone import now
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_celery_results.models import GroupResult, TaskResult

from tests.databases import shared_rows
from tests.factories import UserFactory
from tests.isolation.sweep import ADMIN, Cast, address, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def cast(django_db_setup, django_db_blocker):
    yield from shared_rows(django_db_blocker, Cast)


@pytest.fixture
def root(client, cast):
    """The browser of a superuser, who opens what no role does; and the first row of each library's table."""
    interval, _ = IntervalSchedule.objects.get_or_create(pk=1, defaults={"every": 1, "period": "days"})
    for model, values in (
        (CrontabSchedule, {}),
        (ClockedSchedule, {"clocked_time": now()}),
        (SolarSchedule, {"event": "dusk", "latitude": 1, "longitude": 1}),
        (PeriodicTask, {"name": "nightly", "task": "task", "interval": interval}),
        (TaskResult, {"task_id": "1", "task_name": "task"}),
        (GroupResult, {"group_id": "1"}),
    ):
        model.objects.get_or_create(pk=1, defaults=values)
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


class Foreign(HTMLParser):
    """`found` in a page: attributes that only Alpine reads or that the policy blocks, and looks of Unfold's."""

    def __init__(self, text):
        super().__init__()
        self.found = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "style" or name.startswith(("on", "x-", "@", ":")):
                self.found.add(f"<{tag} {name}>")
            elif name in ("href", "src") and "/unfold/" in (value or ""):
                self.found.add(f"<{tag} {name}={value}>")
            elif name == "class" and ("dark:" in (value or "") or "material-symbols" in (value or "")):
                self.found.add(f"<{tag} class={value}>")


@pytest.mark.timeout(900)
def test_no_page_needs_what_is_not_loaded(root, cast):
    foreign, opened = {}, set()
    for route in ADMIN:
        answer = root.get(address(route, cast.full_lab))
        if answer.status_code != 200 or "text/html" not in answer.headers["Content-Type"]:
            continue
        opened.add(route.name)
        if found := Foreign(text_of(answer)).found:
            foreign[str(route)] = sorted(found)
    assert {
        "admin:django_celery_beat_periodictask_add", "admin:django_celery_results_taskresult_change",
        "admin:tenants_tenant_history", "admin:app_list",
        "admin:django_celery_beat_crontabschedule_delete", "admin:catalog_review_changelist",
    } <= opened  # fmt: skip
    assert foreign == {}


def test_a_page_that_does_is_found():
    page = '<p style="color:red" onclick="x()"><a x-data @click="y" class="dark:bg-base" href="/static/unfold/a.css">'
    assert len(Foreign(page).found) == 6
