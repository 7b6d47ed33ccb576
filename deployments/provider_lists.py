"""The models of a provider: reading its list, naming one by hand, and saying which model of the catalog each is."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.models import CatalogModel
from catalog.serving import can_be_served, servable_modes
from core.errors import Conflict
from deployments.models import Provider, ProviderModel, RouteEntry
from deployments.provider_declared import MANAGE, changes_provider, lock_provider, require_same_place
from deployments.provider_matching import match_all
from deployments.provider_tests import require_reached
from deployments.providers.listing import LONGEST_NAME, Report
from deployments.routes import make_routable
from tenants.revision import raise_revision


@changes_provider()
def refresh_provider(pk: UUID | str, *, by: User) -> tuple[Provider, Report]:
    """Test a provider with its credential in force, and read its list of models again. Takes seconds; safe to repeat.

    A failed test is saved on the provider, and changes no model.

    Raises:
        Provider.DoesNotExist: `by` cannot see such a provider.
        PermissionDenied: `by` may not manage this provider.
        Conflict: the provider was not reached, and the message says what is wrong; or somebody moved it meanwhile.
    """
    seen = Provider.objects.visible_to(by).get(pk=pk)
    refresh_provider.require(by, seen)
    fault, report = "", None
    try:
        report = require_reached(seen)
    except ValidationError as error:
        fault = " ".join(error.messages)
    with transaction.atomic():
        provider = lock_provider(pk, by)
        refresh_provider.require(by, provider)
        require_same_place(provider, seen)
        if report is not None:
            note_report(provider, report)
        else:
            provider.tested_at, provider.fault, provider.answered_in_ms = now(), fault[:600], None
            provider.save(update_fields=["tested_at", "fault", "answered_in_ms"])
        models = len(report.models) if report else None
        audit.record("provider.tested", actor=by, subject=provider, fault=fault, models=models)
    if report is None:
        raise Conflict(fault, code="provider_unusable")
    return provider, report


def note_report(provider: Provider, report: Report | None) -> None:
    """Save what a successful test found, inside the caller's transaction; None: there was no test.

    New models are added and matched with the catalog. Models that the list no longer has stay, with the time when they
    were last seen.
    """
    if report is None:
        return
    moment = now()
    provider.tested_at, provider.fault, provider.answered_in_ms = moment, "", report.milliseconds
    if report.lists_models:
        provider.listed_at = moment
    provider.save(update_fields=["tested_at", "fault", "answered_in_ms", "listed_at"])
    rows = [
        ProviderModel(
            provider=provider, name=listed.name, mode=listed.mode, first_seen_at=moment, last_seen_at=moment
        )
        for listed in report.models
    ]
    ProviderModel.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["provider", "name"],
        update_fields=["last_seen_at"],
        batch_size=1_000,
    )
    match_models_of(provider)


def match_models_of(provider: Provider) -> int:
    """Match all models of a provider with the catalog again, inside the caller's transaction; return how many changed.

    A model that a person has matched, or that is in a route, stays.
    """
    rows = ProviderModel.objects.filter(provider=provider).select_related("model")
    # Nobody routes one of them meanwhile.
    list(rows.order_by("pk").select_for_update(of=("self",), no_key=True).values_list("pk"))
    changed = match_all(rows.filter(target__entries=None), provider.dialect)
    ProviderModel.objects.bulk_update(changed, ["model", "matched_by", "mode"], batch_size=1_000)
    make_routable(rows)
    return len(changed)


@changes_provider()
@transaction.atomic
def name_provider_model(pk: UUID | str, name: str, mode: str = "", *, by: User) -> ProviderModel:
    """Add a model that the provider does not list, such as a deployment of Azure OpenAI. Safe to repeat.

    Args:
        pk: id of the provider.
        name: as calls to the provider name it.
        mode: one of the catalog's; empty: as the matched model's.
        by: the person.

    Raises:
        Provider.DoesNotExist: `by` cannot see such a provider.
        PermissionDenied: `by` may not manage this provider.
        ValidationError: the name is empty, too long, or not one word of ASCII characters; or gateways serve
            no models of the mode.
    """
    provider = lock_provider(pk, by)
    name_provider_model.require(by, provider)
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isascii() or not name.isprintable() or " " in name:
        raise ValidationError(
            {"name": _("Enter the provider's name of the model: one word of ASCII characters.")}
        )
    if mode and not can_be_served(mode):
        message = _("Gateways serve no models of this mode. Possible are: %(modes)s.")
        raise ValidationError({"mode": message % {"modes": ", ".join(sorted(servable_modes()))}})
    row, is_new = ProviderModel.objects.get_or_create(
        provider=provider, name=name, defaults={"is_named_by_hand": True, "mode": mode}
    )
    if is_new or not row.is_named_by_hand:
        row.is_named_by_hand = True
        match_all([row], provider.dialect)
        row.save()
        make_routable([row])
        audit.record(
            "provider.model_named",
            actor=by,
            subject=provider,
            name=name,
            model=row.model.name if row.model else "",
        )
    return row


def _provider_of(row: ProviderModel) -> Provider:
    return row.provider


@action(ProviderModel, permission=MANAGE, on=_provider_of)
@transaction.atomic
def match_provider_model(pk: UUID | str, model: CatalogModel | None, *, by: User) -> ProviderModel:
    """Say which model of the catalog a provider's model is; None: none of them. Lists never change it afterwards.

    Raises:
        ProviderModel.DoesNotExist: `by` cannot see such a model.
        PermissionDenied: `by` may not manage its provider.
        Conflict: it is in a route, as another model (`is_routed`).
        ValidationError: the two are of different modes, such as chat and embedding.
    """
    row = (
        ProviderModel.objects.visible_to(by)
        .select_for_update(of=("self",))
        .select_related("provider", "model")
        .get(pk=pk)
    )
    match_provider_model.require(by, row)
    if model is not None and row.mode and {row.mode, model.mode} not in ({row.mode}, {"chat", "responses"}):
        message = _("%(name)s is for %(mode)s, and %(model)s for %(other)s.")
        raise ValidationError(
            {
                "model": message
                % {"name": row.name, "mode": row.mode, "model": model.name, "other": model.mode}
            }
        )
    if row.model != model and RouteEntry.objects.filter(target__provider_model=row).exists():
        message = _("%(name)s is in the route of %(model)s. Remove it there first.")
        raise Conflict(message % {"name": row.name, "model": row.model}, code="is_routed")
    before = row.model.name if row.model else ""
    row.model, row.matched_by = model, ProviderModel.MatchedBy.PERSON
    if model is not None and not row.mode:
        row.mode = model.mode
    row.save(update_fields=["model", "matched_by", "mode"])
    make_routable([row])
    audit.record(
        "provider.model_matched",
        actor=by,
        subject=row.provider,
        name=row.name,
        changes={"model": (before, model.name if model else "")},
    )
    raise_revision(routing=True)
    return row
