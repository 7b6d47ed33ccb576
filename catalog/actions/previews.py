"""What a request would mean, before it is sent: cost, reviews, and what cannot be requested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from catalog.actions.access_requests import WantedItem, field_of, find_problems, read_item
from catalog.actions.evaluations import table_in_force
from catalog.asked_facts import evaluate_items, facts_of_items
from catalog.models import CatalogModel, RequestItem
from catalog.prices import Estimate, monthly_cost
from catalog.rule_table import NeededReview
from tenants.models import DataClass, Project


@dataclass(frozen=True)
class ItemPreview:
    """One model for one project in a preview, and its monthly cost; None if the model has no price."""

    item: RequestItem
    estimate: Estimate | None


@dataclass(frozen=True)
class Preview:
    """What would happen if the request were made now.

    Every problem is listed at once, by field. The estimate is of all items; None if one has no price, or their
    currencies differ.
    """

    estimate: Estimate | None
    reviews: Sequence[NeededReview]
    problems: dict[str, str]
    items: Sequence[ItemPreview] = ()


def preview_access_request(
    project: Project,
    model: CatalogModel,
    *,
    expected_tokens_per_day: int | None,
    data_class: str,
    limits: Mapping[str, Any] | None = None,
    duration_days: int = 365,
    more: Sequence[WantedItem] = (),
) -> Preview:
    """Preview what `raise_access_request` would do with these values. Changes nothing.

    Args:
        project: the project that would make the request.
        model: the model.
        expected_tokens_per_day: input and output together; None: not entered yet.
        data_class: the most sensitive data, from `DataClass`.
        limits: requested numbers by kind of `tenants.Limit`.
        duration_days: how long the grant would last.
        more: further models and projects of the same tenant.
    """
    wanted = WantedItem(project, model.name, expected_tokens_per_day or 1, data_class, limits or {})
    offered = CatalogModel.objects.offered_to([project.tenant])
    models = {one.name: one for one in offered.filter(name__in=[one.model_name for one in more])}
    models[model.name] = model
    items: list[RequestItem] = []
    problems: dict[str, str] = {}
    for number, one in enumerate([wanted, *more]):
        item, wrong = read_item(one, one.project, models.get(one.model_name))
        found = {name: texts if isinstance(texts, str) else texts[0] for name, texts in wrong.items()}
        if item is not None:
            found = find_problems(item, purpose="preview", duration_days=duration_days) | found
            if item.data_class not in DataClass.values:
                item.data_class = DataClass.INTERNAL
            items.append(item)
        problems |= {
            field_of(number, name): f"{item}: {words}" if more and item is not None else words
            for name, words in found.items()
        }
    if expected_tokens_per_day is None:
        return Preview(None, [], problems)
    said = evaluate_items(table_in_force(), facts_of_items(items, duration_days))
    shown = [ItemPreview(item, monthly_cost(item.model.name, item.expected_tokens_per_day)) for item in items]
    return Preview(_total(shown), said.reviews, said.problems | problems, shown)


def _total(shown: Sequence[ItemPreview]) -> Estimate | None:
    estimates = [one.estimate for one in shown if one.estimate is not None]
    if len(estimates) < len(shown) or len({one.currency for one in estimates}) != 1:
        return None
    return Estimate(
        sum((one.amount for one in estimates), Decimal()),
        sum((one.low for one in estimates), Decimal()),
        sum((one.high for one in estimates), Decimal()),
        estimates[0].currency,
    )
