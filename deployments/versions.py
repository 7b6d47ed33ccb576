"""What deployments and versions of models require of each other."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from catalog.models import ModelVersion
from catalog.version_uses import VersionUse
from core.errors import Conflict
from core.joined import listed
from deployments.models import Deployment
from tenants.models import Tenant


def use_of(version: UUID) -> VersionUse:
    """The deployments of a version, for its own page and actions. One query."""
    rows = Deployment.objects.filter(version=version).values_list("name", "only_tenant__slug", "is_deleted")
    found = list(rows)
    return VersionUse(
        is_deployed=bool(found),
        living={name: slug or "" for name, slug, is_deleted in found if not is_deleted},
    )


def lock_deployable(version: ModelVersion) -> ModelVersion:
    """The version, locked so that it stays what it is. Raises Conflict if it is retired."""
    held = ModelVersion.objects.select_related("model").select_for_update(of=("self",)).get(pk=version.pk)
    if held.is_retired:
        raise Conflict(
            _("%(version)s is retired. Choose another version.") % {"version": held.full_name},
            code="version_retired",
        )
    return held


def only_tenant_for(version: ModelVersion, tenant: Tenant | None) -> Tenant | None:
    """The tenant that a new deployment of the version serves alone: the one named, or the only one that it is for.

    Raises ValidationError, on `only_tenant`, if the version is for other tenants, or one of several must be named.
    """
    if version.visibility == ModelVersion.Visibility.ALL:
        return tenant
    if tenant is None and len(version.only_for) == 1:
        return Tenant.objects.get(slug=version.only_for[0])
    if tenant is None or not version.serves(tenant):
        words = _(
            "This version is for chosen tenants. Name the one that this deployment serves: %(tenants)s."
        )
        raise ValidationError({"only_tenant": [words % {"tenants": listed(version.only_for)}]})
    return tenant


def require_serves(version: ModelVersion, tenant: Tenant | None) -> None:
    """Raise Conflict if a deployment of the version may not serve this tenant alone, or all of them (None)."""
    if version.visibility == ModelVersion.Visibility.ALL or (tenant is not None and version.serves(tenant)):
        return
    raise Conflict(
        _("%(version)s is for chosen tenants. A deployment of it serves one of them: %(tenants)s.")
        % {"version": version.full_name, "tenants": listed(version.only_for)},
        code="version_is_for_others",
    )
