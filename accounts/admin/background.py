"""Schedules and results of background tasks, as lists like ours instead of those that their libraries register."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_celery_results.models import GroupResult, TaskResult

from accounts.admin.keyset import KeysetListMixin

# One day leaves many rows here. A filter by date would count them; one by name would read them all.
_LISTS: dict[Any, dict[str, Any]] = {
    TaskResult: {"list_filter": ["status"], "search_fields": ["task_name", "task_id", "worker"]},
    GroupResult: {"list_filter": [], "search_fields": ["group_id"]},
    PeriodicTask: {
        "list_filter": ["enabled", "one_off"],
        "raw_id_fields": ["interval", "crontab", "solar", "clocked"],
    },
    ClockedSchedule: {},
    CrontabSchedule: {},
    IntervalSchedule: {},
    SolarSchedule: {},
}

for _model, _own in _LISTS.items():
    _theirs = type(admin.site.get_model_admin(_model))
    admin.site.unregister(_model)
    _changes = {
        "__module__": __name__,
        "ordering": ["-pk"],
        "date_hierarchy": None,
        "show_full_result_count": False,
        **_own,
    }
    admin.site.register(_model, type(f"{_model.__name__}List", (KeysetListMixin, _theirs), _changes))
