"""Blocks of deployments on the staff's home page: what is down, what is on its way, and what room is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Case, F, Q, QuerySet, Sum, Value, When
from django.urls import reverse
from django.utils.translation import gettext as _

from core.counting import count_of
from core.home import Content, Need, Reader, Site, home_block
from core.page_parts import Badge
from deployments.models import Cluster, Deployment

MOST_ROWS: Final = 6
_BADGES: Final = {
    Deployment.State.DOWN: Badge("bad", Deployment.State.DOWN.label),
    Deployment.State.DEGRADED: Badge("warn", Deployment.State.DEGRADED.label),
    Deployment.State.STARTING: Badge("info", Deployment.State.STARTING.label),
    Deployment.State.HEALTHY: Badge("info", Deployment.State.HEALTHY.label),
}


@dataclass(frozen=True)
class DeploymentLine:
    """A deployment that is not as it should be, or not yet."""

    name: str
    model: str
    cluster: str
    ready: int
    wanted: int
    badge: Badge
    observed_at: datetime | None
    is_rolling_out: bool
    url: str


@dataclass(frozen=True)
class ClusterLine:
    """The GPUs of a cluster; `total` None: the cluster has not said how many it has."""

    name: str
    total: int | None
    used: int
    tested_at: datetime | None
    url: str

    @property
    def free(self) -> int | None:
        return None if self.total is None else self.total - self.used


@dataclass(frozen=True)
class Platform:
    """The deployments and clusters of the platform in numbers."""

    failing: int | str
    rolling_out: int | str
    running: int | str
    rows: list[DeploymentLine]
    clusters: list[ClusterLine]

    @property
    def free_gpus(self) -> int | None:
        """GPUs that no deployment asks for, on clusters that say how many they have; None if none does."""
        # What one cluster lacks, another's free ones do not give it.
        known = [max(cluster.free, 0) for cluster in self.clusters if cluster.free is not None]
        return sum(known) if known else None


@home_block(
    Site.STAFF,
    order=20,
    permissions=["deployments.view_deployment"],
    template="deployments/home/_deployments.html",
)
def platform(reader: Reader) -> Content:
    """Failing deployments first, then those on their way."""
    living = Deployment.objects.visible_to(reader.user).filter(is_deleted=False)
    failing, rolling_out = failing_of(living), rolling_out_of(living)
    rank = Case(
        When(state=Deployment.State.DOWN, then=Value(0)),
        When(state=Deployment.State.DEGRADED, then=Value(1)),
        default=Value(2),
    )
    shown = (failing | rolling_out).select_related("version__model", "cluster").order_by(rank, "name")
    rows = [_line(deployment) for deployment in shown[:MOST_ROWS]]
    clusters = _clusters(Cluster.objects.visible_to(reader.user), living)
    facts = Platform(
        failing=count_of(failing),
        rolling_out=count_of(rolling_out),
        running=count_of(living),
        rows=rows,
        clusters=clusters,
    )
    return Content(facts, list(_needs(rows)))


def failing_of(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Deployments that serve less than they should."""
    return deployments.filter(state__in=[Deployment.State.DOWN, Deployment.State.DEGRADED])


def rolling_out_of(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """Deployments whose last change the cluster has not finished."""
    return deployments.filter(Q(state=Deployment.State.STARTING) | Q(observed_generation__lt=F("generation")))


def _line(deployment: Deployment) -> DeploymentLine:
    return DeploymentLine(
        name=deployment.name,
        model=deployment.version.model.title,
        cluster=deployment.cluster.name,
        ready=deployment.ready_replicas,
        wanted=deployment.replicas,
        badge=_BADGES[Deployment.State(deployment.state)],
        observed_at=deployment.observed_at,
        is_rolling_out=deployment.observed_generation < deployment.generation,
        url=reverse("admin:deployments_deployment_change", args=[deployment.pk]),
    )


def _needs(rows: Iterable[DeploymentLine]) -> Iterable[Need]:
    for row in rows:
        if row.badge.kind in ("bad", "warn"):
            text = _("%(name)s is down") if row.badge.kind == "bad" else _("%(name)s is degraded")
            ready = _("%(ready)d of %(wanted)d replicas are ready") % {
                "ready": row.ready,
                "wanted": row.wanted,
            }
            yield Need(
                text=text % {"name": row.name},
                note=ready,
                url=row.url,
                action=_("Look"),
                icon_name="alert-triangle",
                is_late=row.badge.kind == "bad",
            )


def _clusters(clusters: QuerySet[Cluster], living: QuerySet[Deployment]) -> list[ClusterLine]:
    """Clusters with the least room first; those without any GPU or wish for one are left out."""
    wanted = dict(
        living.values_list("cluster_id").annotate(gpus=Sum(F("replicas") * F("version__gpus_per_replica")))
    )
    lines = []
    for cluster in clusters.order_by("name"):
        total, used = gpus_of(cluster.resources), int(wanted.get(cluster.pk) or 0)
        if total or used:
            url = reverse("admin:deployments_cluster_change", args=[cluster.pk])
            lines.append(ClusterLine(cluster.name, total, used, cluster.tested_at, url))
    lines.sort(key=lambda line: (line.free is None, line.free or 0, line.name))
    return lines


def gpus_of(resources: dict[str, Any]) -> int | None:
    """The GPUs among the extended resources of a cluster, of any maker; None if it names none."""
    found = [str(count) for name, count in resources.items() if name.endswith("/gpu")]
    return sum(int(count) for count in found if count.isdigit()) if found else None
