"""Tasks that take longer than a request: erasing a person from every tenant's rows."""

from __future__ import annotations

from celery import shared_task

from core.scope import platform_scope
from privacy import personal_data


@shared_task
def erase_person(order: str) -> None:
    """Erase the person named in a signed job of the staff site (`personal_data.sign_erasure_job`)."""
    with platform_scope("erase a person from every tenant's rows"):
        personal_data.run_erasure_job(order)
