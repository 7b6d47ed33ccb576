"""Actions on gateways, and what gateways report about themselves."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext as _
from msgspec import UNSET

import audit
from accounts.declared import action
from accounts.models import User
from catalog.models import Grant
from core.errors import Conflict
from core.secrets import GATEWAY_TOKEN, digest, looks_like, new_secret, visible_prefix
from gateway.contract import Ack
from gateway.list_settings import MEDIA_HOSTS, REGION_ORDER
from gateway.models import ConfigClock, Gateway
from gateway.prices import has_price_change_between
from gateway.signing import ensure_signing_key
from tenants.models import ApiKey
from tenants.revision import current_revision, raise_revision

log = structlog.get_logger(__name__)


@action(NoneType, permission="gateway.manage_gateway")
@transaction.atomic
def register_gateway(name: str, *, by: User | None, secret: str | None = None) -> tuple[Gateway, str]:
    """Let a gateway called `name` request configuration and report usage; return it with its token.

    The token is not stored: show it now. `secret` is a token made elsewhere (a demo, a secret store), used instead
    of a new one. `by` None means the platform.

    Raises:
        PermissionDenied: `by` may not manage gateways.
        Conflict: a gateway of that name exists.
        ValueError: `secret` is not a gateway token.
    """
    register_gateway.require(by, None)
    secret = _checked(secret)
    try:
        with transaction.atomic():
            ensure_signing_key()
            gateway = Gateway.objects.create(name=name, prefix=visible_prefix(secret), digest=digest(secret))
    except IntegrityError as error:
        message = _(
            "A gateway named %(name)s, or one with this token, already exists. Renew its token, or choose another name."
        )
        raise Conflict(message % {"name": name}) from error
    audit.record("gateway.registered", actor=by, subject=gateway, prefix=gateway.prefix)
    return gateway, secret


@action(Gateway, permission="gateway.manage_gateway")
@transaction.atomic
def renew_gateway_token(pk: UUID | str, *, by: User | None, secret: str | None = None) -> tuple[Gateway, str]:
    """Give a gateway a new token and return both; the old token is refused from now on.

    Until it is restarted with the new token, the gateway serves its last snapshot and keeps usage on its disk.
    A revoked gateway returns to service.

    Raises:
        Gateway.DoesNotExist: the gateway does not exist.
        PermissionDenied: `by` may not manage gateways.
        ValueError: `secret` is not a gateway token.
    """
    gateway = _find(pk, by)
    renew_gateway_token.require(by, gateway)
    secret = _checked(secret)
    gateway.prefix, gateway.digest, gateway.revoked_at = visible_prefix(secret), digest(secret), None
    gateway.save(update_fields=["prefix", "digest", "revoked_at"])
    # The audit log keeps the older word, so that each action has one verb.
    audit.record("gateway.token_rotated", actor=by, subject=gateway, prefix=gateway.prefix)
    return gateway, secret


def _require_not_revoked(by: User | None, gateway: Gateway) -> None:
    if gateway.revoked_at is not None:
        raise Conflict(_("This gateway is already revoked."))


@action(Gateway, permission="gateway.manage_gateway", state=_require_not_revoked)
@transaction.atomic
def revoke_gateway(pk: UUID | str, *, by: User | None) -> Gateway:
    """Refuse a gateway's token for good. What it has not reported yet stays on its disk.

    Raises:
        Gateway.DoesNotExist: no such gateway.
        PermissionDenied: `by` may not manage gateways.
        Conflict: it is revoked already.
    """
    gateway = _find(pk, by)
    revoke_gateway.require(by, gateway)
    gateway.revoked_at = now()
    gateway.save(update_fields=["revoked_at"])
    audit.record("gateway.revoked", actor=by, subject=gateway, prefix=gateway.prefix)
    return gateway


@action(NoneType, permission="gateway.manage_gateway")
@transaction.atomic
def set_media_hosts(hosts: Iterable[str], *, by: User | None) -> list[str]:
    """Set the hosts from which engines may fetch pictures, sounds and files that clients name by URL. Safe to repeat.

    No hosts means `data:` URLs only. A host is a public name such as `pictures.example.com`, or `*.example.org` for
    all names below one.

    Raises:
        PermissionDenied: `by` may not manage gateways.
        ValidationError: a host is no such name, or there are too many.
    """
    set_media_hosts.require(by, None)
    return MEDIA_HOSTS.replace(hosts, by=by)


@action(NoneType, permission="gateway.manage_gateway")
@transaction.atomic
def set_region_order(regions: Iterable[str], *, by: User | None) -> list[str]:
    """Set where calls go after a gateway's own region, among targets of equal priority. Safe to repeat.

    Targets in none of these regions come last.

    Raises:
        PermissionDenied: `by` may not manage gateways.
        ValidationError: one is no name of a region, or there are too many.
    """
    set_region_order.require(by, None)
    return REGION_ORDER.replace(regions, by=by)


@transaction.atomic
def acknowledge(gateway: Gateway, ack: Ack, *, region: str = "") -> bool:
    """Save the revision that a gateway serves, its condition, and the region where it says it is. Safe to repeat.

    Returns False if that revision was never issued here (this database was restored from an older copy). Then the
    rest is saved, with the reason, and the last revision that it was known to serve stays.
    """
    newest = current_revision()
    is_known = ack.revision <= newest
    problem = ack.problem or (
        "" if is_known else f"It serves revision {ack.revision}; the newest here is {newest}."
    )
    moment = now()
    row = Gateway.objects.select_for_update().get(pk=gateway.pk)
    if is_known and row.acknowledged_revision != ack.revision:
        row.acknowledged_revision, row.acknowledged_at = ack.revision, moment
    row.last_seen_at, row.spool_pending = moment, ack.spool_pending
    row.report = {
        "started_at": ack.started_at,
        "version": ack.version,
        "contract_version": ack.contract_version,
        "kind": "" if ack.kind is UNSET else ack.kind,
        "counters": ack.counters,
        "problem": problem,
        "refused": {"revision": ack.refused.revision, "reason": ack.refused.reason} if ack.refused else None,
        "reads": ack.reads,
        "region": region,
        "workers": ack.workers,
        "signing_keys": ack.signing_keys,
    }
    row.save(
        update_fields=[
            "acknowledged_revision",
            "acknowledged_at",
            "last_seen_at",
            "spool_pending",
            "report",
        ]
    )
    return is_known


@transaction.atomic
def announce_what_the_clock_changed() -> int | None:
    """Raise the revision if a grant, a key or a price began or ended since the last time; return it or None.

    The snapshot contains the ends of keys and grants, and gateways apply them by themselves; this function removes
    them from the snapshot. Only this function tells gateways of beginnings (a grant valid from Monday, a price of the
    first of the month). Safe to repeat and to run twice at once.
    """
    ConfigClock.objects.get_or_create(pk=1)
    clock = ConfigClock.objects.select_for_update().get(pk=1)
    since, until = clock.announced_until, now()
    clock.announced_until = until
    clock.save(update_fields=["announced_until"])
    grants = Grant.objects.across_tenants().filter(revoked_at=None)
    keys = ApiKey.objects.across_tenants().filter(state=ApiKey.State.ACTIVE)
    projects = grants.filter(
        Q(valid_from__gt=since, valid_from__lte=until) | Q(valid_until__gt=since, valid_until__lte=until)
    ).values_list("project_id", flat=True)
    changed_projects = set(projects)
    changed_keys = set(keys.filter(expires_at__gt=since, expires_at__lte=until).values_list("pk", flat=True))
    if not (changed_projects or changed_keys or has_price_change_between(since, until)):
        return None
    revision = raise_revision(projects=changed_projects, keys=changed_keys, routing=True)
    log.info("config.announced", revision=revision, since=since.isoformat())
    return revision


def _find(pk: UUID | str, by: User | None) -> Gateway:
    gateways = Gateway.objects.all() if by is None else Gateway.objects.visible_to(by)
    return gateways.select_for_update().get(pk=pk)


def _checked(secret: str | None) -> str:
    if secret is None:
        return new_secret(GATEWAY_TOKEN)
    if not looks_like(GATEWAY_TOKEN, secret):
        raise ValueError("This is not a gateway token: it must be qmg_… with all 53 characters.")
    return secret
