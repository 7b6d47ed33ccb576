"""Which limits bind the calls of a project."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Func, Q

from tenants.models import ApiKey, Limit, Project


def binding_limits(project: Project) -> Any:
    """The tenant's limits, the project's, and those of its keys: whichever applies to a call is checked."""
    return (
        Limit.objects.in_tenant(project.tenant)
        .filter(Q(project=None, key=None) | Q(project=project) | Q(key__project=project))
        .select_related("tenant", "project", "key")
        .order_by(F("key").asc(nulls_first=True), F("project").asc(nulls_first=True), "model", "kind")
    )


def models_of(project: Project) -> list[str]:
    """Names of the models that the project has, or had, keys for."""
    keys = ApiKey.objects.in_tenant(project.tenant).filter(project=project)
    names = keys.annotate(one=Func("model_names", function="unnest")).values_list("one", flat=True)
    return sorted(names.distinct())
