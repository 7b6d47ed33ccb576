"""The keys that get the models of an approved request, and lose them when a grant is revoked.

A key holds names of models. Gateways let it call those that its project has a grant for, so a name opens nothing by
itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.timezone import now

from accounts.models import User
from catalog.models import AccessRequest, Grant, RequestItem
from tenants.actions.keys import extend_key, prepare_api_key, set_key_models, stop_key
from tenants.models import ApiKey


def give_keys(
    access_request: AccessRequest, items: list[RequestItem], *, expires_at: datetime
) -> Iterator[tuple[RequestItem, ApiKey]]:
    """Each item with its key. A project gets one key for all its models, to be claimed once.

    Models with a chosen key go into that, if it is still the requester's and in use; else into the new one.
    A renewal keeps the key of the earlier grant, if that still names the model; it then expires no earlier than the new
    grant ends.

    Args:
        access_request: the approved request.
        items: its items, with project and model.
        expires_at: when the keys expire.
    """
    by_project: dict[UUID, list[RequestItem]] = {}
    for item in items:
        if key := _key_to_keep(item, expires_at) or _chosen_key(item, access_request, expires_at):
            yield item, key
            continue
        by_project.setdefault(item.project_id, []).append(item)
    for together in by_project.values():
        names = [item.model.name for item in together]
        key = prepare_api_key(
            together[0].project,
            name=", ".join(names)[:80],
            models=names,
            created_for=access_request.requested_by,
            expires_at=expires_at,
        )
        for item in together:
            yield item, key


def own_keys(person: User) -> QuerySet[ApiKey]:
    """Keys in use or to be claimed that are this person's, or of a service account that the person answers for."""
    keys = ApiKey.objects.visible_to(person).current().exclude(state="claimable", claim_by__lte=now())
    return keys.filter(Q(owner=person) | Q(owner__responsible=person))


def _chosen_key(item: RequestItem, access_request: AccessRequest, expires_at: datetime) -> ApiKey | None:
    if item.into_key_id is None:
        return None
    keys = own_keys(access_request.requested_by).filter(pk=item.into_key_id, project=item.project_id)
    key = keys.select_for_update(of=("self",)).first()
    if key is None:
        return None
    set_key_models(key, {*key.model_names, item.model.name}, actor=None, reason=access_request.reference)
    extend_key(key, expires_at)
    return key


def _key_to_keep(item: RequestItem, expires_at: datetime) -> ApiKey | None:
    if item.renews is None:
        return None
    keys = ApiKey.objects.in_tenant(item.renews.tenant).current().filter(request_items=item.renews.item_id)
    key = keys.exclude(state="claimable", claim_by__lte=now()).select_for_update(of=("self",)).first()
    if key is None or item.model.name not in key.model_names:
        return None
    extend_key(key, expires_at)
    return key


def take_from_key(grant: Grant, *, actor: User | None, reason: str = "") -> list[UUID]:
    """Take the model of a revoked grant from its key; revoke a key that has nothing left. Returns changed keys.

    The key keeps a model that another grant gave it too. The caller raises the revision.
    """
    keys = ApiKey.objects.in_tenant(grant.tenant).select_for_update(of=("self",))
    key = keys.filter(request_items=grant.item_id).exclude(state=ApiKey.State.REVOKED).first()
    name = grant.model.name
    if key is None or name not in key.model_names:
        return []
    others = Grant.objects.in_tenant(grant.tenant).filter(item__key=key, model=grant.model)
    if others.filter(revoked_at=None, valid_until__gt=now()).exists():
        return []
    if key.model_names == [name]:
        stop_key(key, actor=actor, reason=reason or "its grant was revoked")
    else:
        set_key_models(key, set(key.model_names) - {name}, actor=actor, reason=reason)
    return [key.pk]
