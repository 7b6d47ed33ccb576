"""Which limits apply to the calls of a project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.models import Func, Q, QuerySet

from accounts.models import User
from core.prefix import begins_with
from tenants.models import ApiKey, Limit, Project

Part = tuple[QuerySet[Limit], Sequence[str]]


def binding_limits(project: Project, user: User, *, term: str = "") -> list[Part]:
    """Return the limits of a project that `user` may see: the tenant's, the project's, and those of its keys.

    Returns three lists, each with its order, for `page_of_parts`: there may be tens of thousands of limits, and no
    index sorts them together. `term` narrows them to models, and to names and visible prefixes of keys, that begin
    with it.
    """
    limits = (
        Limit.objects.in_tenant(project.tenant).visible_to(user).select_related("tenant", "project", "key")
    )
    of_keys = limits.filter(project=None, key__project=project)
    if term:
        of_model = begins_with(term, ["model"])
        limits = limits.filter(of_model)
        of_keys = of_keys.filter(of_model | begins_with(term, ["key__name", "key__prefix"]))
    return [
        (limits.filter(project=None, key=None), ("model", "kind")),
        (limits.filter(project=project), ("model", "kind")),
        (of_keys, ("key_id", "model", "kind")),
    ]


def limits_beside(
    project: Project, user: User, *, key: ApiKey | None = None, models: Iterable[str] = ("",)
) -> QuerySet[Limit]:
    """Return every limit that is checked for calls of a project, or of one of its keys, as far as `user` may see it.

    Returns only limits of `models`, where "" stands for all models together: a few rows, however many limits exist.

    Args:
        project: the project.
        user: who reads.
        key: only calls of this key; None means all keys.
        models: public names of models.
    """
    places = Q(project=None, key=None) | Q(project=project)
    if key is not None:
        places |= Q(key=key)
    visible = Limit.objects.in_tenant(project.tenant).visible_to(user)
    found = visible.filter(places, model__in=list(models))
    return found.select_related("tenant", "project", "key")


def models_of(project: Project) -> list[str]:
    """Return the names of the models that the project has, or had, keys for."""
    keys = ApiKey.objects.in_tenant(project.tenant).filter(project=project)
    names = keys.annotate(one=Func("model_names", function="unnest")).values_list("one", flat=True)
    return sorted(names.distinct())
