"""Operators' statements about an engine of which nothing is known: by which field it separates its prefix cache."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.models import User
from core.errors import Conflict
from deployments.announcements import announce_sharing
from deployments.client_fields import LONGEST_FIELD, is_field_name, may_separate
from deployments.declared import changes_deployment
from deployments.engine_controls import fold
from deployments.models import Deployment
from deployments.runtimes import CACHE_SALT, ignores_salt, program_digest
from deployments.sharing import lock_deployment, one_line

STATEMENT_FIELDS = ("stated_field", "stated_reason", "stated_program", "stated_at", "statement_lapsed_at")


def _require_unstated(deployment: Deployment) -> None:
    if known := deployment.facts.cache_key_field:
        raise Conflict(_("It is already known to separate its cache by %(field)s.") % {"field": known})
    if deployment.is_statement_in_force:
        raise Conflict(_("This is already stated. Withdraw it to state something else."))
    if deployment.is_being_replaced:
        raise Conflict(
            _("Its image or command is changing. Wait until the new one runs, then state the field.")
        )


@changes_deployment(_require_unstated)
@transaction.atomic
def state_separation(pk: UUID | str, field: str, reason: str, *, by: User) -> Deployment:
    """State that an engine separates its prefix cache by `field`, and how this is known.

    Gateways then send a value of the tenant in that field, to this engine only, and refuse the field to clients of its
    model. All tenants may then use the engine. The statement is about the image and the command that run now: when
    either changes, it lapses.

    Args:
        pk: id of the deployment.

    Raises:
        Deployment.DoesNotExist: `by` cannot see such a deployment.
        PermissionDenied: `by` may not change deployments.
        Conflict: it is being deleted, its field is known or stated already, or its program is being replaced.
        ValidationError: the field or the reason is invalid, or the program is known to ignore the field.
    """
    deployment = lock_deployment(pk, by)
    state_separation.require(by, deployment)
    version = deployment.version
    reason = check(deployment, field=field, reason=reason)
    deployment.stated_field, deployment.stated_reason = field, reason
    deployment.stated_program = program_digest(version.image, version.command)
    deployment.stated_at, deployment.statement_lapsed_at = now(), None
    deployment.save(update_fields=STATEMENT_FIELDS)
    audit.record(
        "deployment.separation_stated",
        actor=by,
        subject=deployment,
        reason=reason,
        field=field,
        image=version.image,
    )
    announce_sharing(deployment)
    return deployment


def _require_stated(deployment: Deployment) -> None:
    if not deployment.stated_field:
        raise Conflict(_("Nothing has been stated."))


@changes_deployment(_require_stated)
@transaction.atomic
def withdraw_separation(pk: UUID | str, *, by: User) -> Deployment:
    """Withdraw what `state_separation` stated. Without another reason to serve, the engine then serves nobody.

    Raises:
        Deployment.DoesNotExist: `by` cannot see such a deployment.
        PermissionDenied: `by` may not change deployments.
        Conflict: it is being deleted, or nothing is stated.
    """
    deployment = lock_deployment(pk, by)
    withdraw_separation.require(by, deployment)
    field = deployment.stated_field
    deployment.stated_field = deployment.stated_reason = deployment.stated_program = ""
    deployment.stated_at = deployment.statement_lapsed_at = None
    deployment.save(update_fields=STATEMENT_FIELDS)
    audit.record("deployment.separation_withdrawn", actor=by, subject=deployment, field=field)
    announce_sharing(deployment)
    return deployment


def check(deployment: Deployment, *, field: str | None = None, reason: str | None = None) -> str:
    """The reason as one line. Raises ValidationError for a given value that `state_separation` would not accept."""
    version = deployment.version
    if field is not None:
        if not is_field_name(field):
            message = _(
                "Use letters (a to z), digits and underscores, at most %(most)d, not beginning with a digit."
            )
            raise ValidationError({"field": message % {"most": LONGEST_FIELD}})
        if not may_separate(field):
            message = _(
                "%(name)s cannot separate a cache: clients use it, or engines use it for something else."
            )
            raise ValidationError({"field": message % {"name": field}})
        if fold(field) == fold(CACHE_SALT) and ignores_salt(version.image, version.command):
            raise ValidationError({"field": _("vLLM before 0.9 ignores cache_salt.")})
    if reason is None:
        return ""
    return one_line(reason, _("Say in a sentence how you know this."))
