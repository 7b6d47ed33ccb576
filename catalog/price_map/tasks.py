"""Work on imports and prices that a message or a timer starts. Tasks carry ids and hold no rules."""

from __future__ import annotations

from celery import shared_task
from celery.schedules import crontab

from catalog.list_price_columns import refresh_list_prices
from core.scope import platform_scope

SCHEDULE = {
    # Prices begin at whole hours.
    "catalog-refresh-list-prices": {
        "task": "catalog.price_map.tasks.refresh_prices_of_models",
        "schedule": crontab(minute=0),
    },
    "catalog-carry-out-imports-left-alone": {
        "task": "catalog.price_map.tasks.carry_out_imports_left_alone",
        "schedule": 60.0,
        "options": {"expire_seconds": 60},
    },
}


@shared_task(soft_time_limit=600)
def carry_out_import(pk: str) -> None:
    """Accept or undo the entries of a large import."""
    from catalog.actions import imports

    with platform_scope("carry out an import of the catalog", is_routine=True):
        imports.carry_out(pk)


@shared_task(soft_time_limit=600)
def carry_out_imports_left_alone() -> None:
    """Start imports whose message was lost, or whose worker died."""
    from catalog.models import CatalogImport

    with platform_scope("find imports left alone", is_routine=True):
        busy = list(CatalogImport.objects.filter(state=CatalogImport.State.BUSY).values_list("pk", flat=True))
    for pk in busy:
        carry_out_import.delay(str(pk))


@shared_task(soft_time_limit=120)
def refresh_prices_of_models() -> None:
    """Let sorting and filters follow list prices that have begun or ended."""
    with platform_scope("list prices that begin", is_routine=True):
        refresh_list_prices()
