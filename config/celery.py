"""The Celery application. Tasks are in tasks.py of an app or subpackage, together with their SCHEDULE."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import structlog
from celery import Celery
from celery.contrib.django.task import DjangoTask
from celery.signals import setup_logging
from django.conf import settings
from django.dispatch import receiver
from django_structlog.celery import signals
from django_structlog.celery.steps import DjangoStructLogInitStep

from core.scope import NOBODY, scoped

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")

CHECKOUT = Path(__file__).parents[1]
# Packages with a tasks.py: apps and their subpackages.
HAVE_TASKS = sorted(
    ".".join(path.parent.relative_to(CHECKOUT).parts)
    for app in settings.OUR_APPS
    for path in (CHECKOUT / app).rglob("tasks.py")
)
REPEATED_BY_STRUCTLOG = ["celery.app.trace", "celery.worker.strategy", "celery.beat"]


class ScopedTask(DjangoTask):  # type: ignore[type-arg]
    """A task that starts without a scope, whoever calls it; it states its own (core/scope.py)."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with scoped(NOBODY):
            return super().__call__(*args, **kwargs)


app = Celery("quartermaster", task_cls=ScopedTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks(HAVE_TASKS)


@setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Keep the log handlers from settings, which Celery would replace. Runs in worker and beat.

    django-structlog logs the result of each task, in JSON and with its id, so Celery need not log it again. A task
    that runs every two seconds logs nothing unless something is wrong.
    """
    for name in REPEATED_BY_STRUCTLOG:
        logging.getLogger(name).setLevel(logging.WARNING)
    ticks = frozenset(str(entry["task"]) for entry in app.conf.beat_schedule.values())
    logging.getLogger("django_structlog.celery.receivers").addFilter(_Unless(ticks))


class _Unless(logging.Filter):
    """Drops merely informative log lines about certain tasks."""

    def __init__(self, tasks: frozenset[str]) -> None:
        super().__init__()
        self.tasks = tasks

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.INFO or not isinstance(record.msg, dict):
            return True
        return (record.msg.get("task") or record.msg.get("child_task_name")) not in self.tasks


@receiver(signals.bind_extra_task_metadata)
def name_the_task(sender: Any, signal: Any, task: Any, logger: Any, **kwargs: Any) -> None:
    """Add the task's name to every log line within it.

    Args:
        sender: the sender of the signal.
        signal: the signal.
        task: the running task.
        logger: the logger of django-structlog.
    """
    structlog.contextvars.bind_contextvars(task=task.name)


@app.on_after_finalize.connect
def gather_schedules(sender: Celery, **kwargs: Any) -> None:
    """Collect SCHEDULE from every tasks module, so that each schedule is next to its task."""
    for name in HAVE_TASKS:
        sender.conf.beat_schedule.update(getattr(import_module(f"{name}.tasks"), "SCHEDULE", {}))
