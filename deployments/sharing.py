"""Operators' decisions about one engine: whose calls it serves, and which controls clients may send."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.models import User
from core.errors import Conflict
from deployments.announcements import announce_sharing
from deployments.declared import changes_deployment
from deployments.engine_controls import fold, may_be_allowed
from deployments.models import Deployment
from deployments.versions import require_serves
from tenants.models import Tenant

MOST_CONTROLS = 50


def _require_not_accepted(deployment: Deployment) -> None:
    if deployment.only_tenant_id is not None:
        raise Conflict(_("It serves one tenant only. First give it to all tenants."))
    if deployment.sharing_accepted_at is not None:
        raise Conflict(_("This is already accepted. Withdraw it to give another reason."))


@changes_deployment(_require_not_accepted)
@transaction.atomic
def accept_sharing(pk: UUID | str, reason: str, *, by: User) -> Deployment:
    """Let all tenants use an engine although nothing separates them in its prefix cache, and record the reason.

    The acceptance lasts until it is withdrawn, whatever the deployment runs later. It changes nothing while the
    engine separates tenants by itself.

    Raises:
        Deployment.DoesNotExist: `by` cannot see such a deployment.
        PermissionDenied: `by` may not change deployments.
        Conflict: it is being deleted, serves one tenant only, or has been accepted already.
        ValidationError: the reason is missing, or has more than 500 characters.
    """
    deployment = lock_deployment(pk, by)
    accept_sharing.require(by, deployment)
    question = _("Say in a sentence why tenants may share this engine's cache.")
    deployment.sharing_reason = one_line(reason, question)
    deployment.sharing_accepted_at = now()
    deployment.save(update_fields=["sharing_reason", "sharing_accepted_at"])
    audit.record(
        "deployment.sharing_accepted", actor=by, subject=deployment, reason=deployment.sharing_reason
    )
    announce_sharing(deployment)
    return deployment


def _require_accepted(deployment: Deployment) -> None:
    if deployment.sharing_accepted_at is None:
        raise Conflict(_("Nobody has accepted this."))


@changes_deployment(_require_accepted)
@transaction.atomic
def withdraw_sharing(pk: UUID | str, *, by: User) -> Deployment:
    """Withdraw what `accept_sharing` allowed. Without another reason to serve, the engine then serves nobody.

    Raises:
        Deployment.DoesNotExist: `by` cannot see such a deployment.
        PermissionDenied: `by` may not change deployments.
        Conflict: no acceptance is in force.
    """
    deployment = lock_deployment(pk, by)
    withdraw_sharing.require(by, deployment)
    deployment.sharing_reason, deployment.sharing_accepted_at = "", None
    deployment.save(update_fields=["sharing_reason", "sharing_accepted_at"])
    audit.record("deployment.sharing_withdrawn", actor=by, subject=deployment)
    announce_sharing(deployment)
    return deployment


@changes_deployment()
@transaction.atomic
def dedicate(pk: UUID | str, tenant: Tenant | None, *, by: User) -> Deployment:
    """Let an engine serve one tenant only; None opens it to all again.

    Raises:
        Deployment.DoesNotExist: `by` cannot see such a deployment.
        PermissionDenied: `by` may not change deployments.
        Conflict: it is being deleted, nothing would change, or its version is for other tenants.
    """
    deployment = lock_deployment(pk, by)
    dedicate.require(by, deployment)
    require_serves(deployment.version, tenant)
    before = deployment.only_tenant
    if before == tenant:
        raise Conflict(_("This is already the case."))
    deployment.only_tenant = tenant
    deployment.save(update_fields=["only_tenant"])
    audit.record(
        "deployment.dedicated",
        actor=by,
        subject=deployment,
        changes={"tenant": (before.slug if before else "", tenant.slug if tenant else "")},
    )
    announce_sharing(deployment)
    return deployment


@changes_deployment()
@transaction.atomic
def allow_controls(pk: UUID | str, names: Iterable[str], *, by: User) -> Deployment:
    """Let clients send these engine controls to an engine, and no others. Safe to repeat.

    Raises:
        Deployment.DoesNotExist: `by` cannot see such a deployment.
        PermissionDenied: `by` may not change deployments.
        Conflict: it is being deleted.
        ValidationError: a name is no engine control, can never be allowed, or only where one tenant is served.
    """
    deployment = lock_deployment(pk, by)
    allow_controls.require(by, deployment)
    wanted = clean_controls(names, serves_one_tenant=deployment.only_tenant_id is not None)
    before = deployment.allowed_controls
    if before != wanted:
        deployment.allowed_controls = wanted
        deployment.save(update_fields=["allowed_controls"])
        audit.record(
            "deployment.controls_allowed",
            actor=by,
            subject=deployment,
            changes={"controls": (", ".join(before), ", ".join(wanted))},
        )
        announce_sharing(deployment)
    return deployment


def clean_controls(names: Iterable[str], *, serves_one_tenant: bool) -> list[str]:
    """The names in order, each once. Raises ValidationError naming one that cannot be allowed."""
    cleaned = sorted({fold(name): name.strip() for name in names if name.strip()}.values())
    if len(cleaned) > MOST_CONTROLS:
        raise ValidationError({"controls": _("At most %(most)d names.") % {"most": MOST_CONTROLS}})
    for name in cleaned:
        if may_be_allowed(name, serves_one_tenant=serves_one_tenant):
            continue
        if may_be_allowed(name, serves_one_tenant=True):
            message = _(
                "%(name)s makes calls share state. You can allow it only for a deployment with one tenant."
            )
        else:
            message = _(
                "%(name)s cannot be allowed: it is not an engine control, or it would undo the "
                "separation of tenants or redirect calls."
            )
        raise ValidationError({"controls": message % {"name": name[:60]}})
    return cleaned


def one_line(reason: str, question: str) -> str:
    """A reason as one line. Raises ValidationError with `question` if there is none."""
    line = " ".join(reason.split())
    if not line or not line.isprintable():
        raise ValidationError({"reason": question})
    if len(line) > 500:
        raise ValidationError({"reason": _("At most 500 characters.")})
    return line


def lock_deployment(pk: UUID | str, user: User) -> Deployment:
    """A deployment, locked. Raises Deployment.DoesNotExist if `user` cannot see it."""
    return (
        Deployment.objects.visible_to(user)
        .select_for_update(of=("self",))
        .select_related("only_tenant", "version__model", "cluster")
        .get(pk=pk)
    )
