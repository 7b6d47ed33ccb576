"""The Celery application. Tasks live in each app's tasks.py; their clocks stand beside them in SCHEDULE."""

from __future__ import annotations

import os
from importlib import import_module, util
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")

APPS = ["tenants", "billing", "catalog", "deployments", "gateway"]

app = Celery("quartermaster")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks(APPS)


@setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Celery would replace the handlers; settings configured them already."""


@app.on_after_finalize.connect
def gather_schedules(sender: Celery, **kwargs: Any) -> None:
    """Collect SCHEDULE of every app's tasks module, so that a clock is written where its task is."""
    for name in APPS:
        if util.find_spec(f"{name}.tasks"):
            sender.conf.beat_schedule.update(getattr(import_module(f"{name}.tasks"), "SCHEDULE", {}))
