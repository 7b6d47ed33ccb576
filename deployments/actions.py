"""Actions on clusters and deployments, and the reconciliation that carries them out."""

from __future__ import annotations

from datetime import timedelta
from types import NoneType
from uuid import UUID

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.declared import action
from accounts.models import User
from catalog.models import ModelVersion
from core.errors import Conflict
from core.names import clean_name
from deployments import connection, observation, routes, tasks
from deployments.cluster.base import Cluster as ClusterDriver
from deployments.cluster.base import (
    ClusterFacts,
    Manifest,
    Observed,
    PermanentClusterError,
    QuotaExceededError,
    TemporaryClusterError,
    UnnamedAbsenceError,
)
from deployments.clusters import get_cluster
from deployments.declared import changes_deployment
from deployments.locks import if_nobody_else, one_at_a_time
from deployments.manifests import EngineSpec, RuntimeSpec, engine_manifests
from deployments.models import Cluster, Deployment, Target
from deployments.runtimes import facts_of
from deployments.stored_sentences import TOO_SLOW
from deployments.versions import lock_deployable, only_tenant_for
from tenants.models import Tenant

log = structlog.get_logger(__name__)

MOST_REPLICAS = 256
# After this time, the sweep starts what a message should have started.
MESSAGE_IS_LOST_AFTER = timedelta(seconds=10)
# An unchanged observation is saved at most this often.
SEEN_EVERY = timedelta(seconds=15)


class ImpossibleSpecError(Exception):
    """No cluster would accept the objects of the desired state."""


@action(NoneType, permission="deployments.manage_deployment")
def add_cluster(cluster: Cluster, *, by: User | None, facts: ClusterFacts | None = None) -> Cluster:
    """Save a new cluster, after a test that it answers and lets us run deployments.

    `facts` is the result of a test made just before; without it a worker tests the cluster here, which takes
    seconds. `by` None means the platform (set-up): the cluster may then be saved before its engine host runs.

    Raises:
        PermissionDenied: `by` may not change deployments.
        ValidationError: the cluster does not answer, or its credentials lack a permission.
    """
    add_cluster.require(by, None)
    if by is not None:
        _note_facts(cluster, facts or connection.require_usable(cluster))
    with transaction.atomic():
        cluster.save(force_insert=True)
        audit.record(
            "cluster.added", actor=by, subject=cluster, driver=cluster.driver, version=cluster.version
        )
    return cluster


@action(Cluster, permission="deployments.manage_deployment")
def check_cluster(pk: UUID | str, *, by: User) -> Cluster:
    """Test a cluster again, and save what it reports. Takes seconds; safe to repeat.

    Raises:
        Cluster.DoesNotExist: `by` cannot see such a cluster.
        PermissionDenied: `by` may not change deployments.
        Conflict: the cluster does not answer, or its credentials lack a permission; the message says which.
    """
    cluster = Cluster.objects.visible_to(by).get(pk=pk)
    check_cluster.require(by, cluster)
    try:
        facts = connection.require_usable(cluster)
    except ValidationError as error:
        raise Conflict(" ".join(error.messages), code="cluster_unusable") from error
    with transaction.atomic():
        _note_facts(cluster, facts)
        cluster.save(update_fields=["version", "resources", "tested_at"])
        audit.record("cluster.tested", actor=by, subject=cluster, version=cluster.version)
    return cluster


def _note_facts(cluster: Cluster, facts: ClusterFacts) -> None:
    cluster.version, cluster.tested_at = clean_name(facts.version, 100), now()
    cluster.resources = {clean_name(kind): clean_name(amount) for kind, amount in facts.resources.items()}


@action(NoneType, permission="deployments.manage_deployment")
@transaction.atomic
def create_deployment(
    version: ModelVersion,
    cluster: Cluster,
    replicas: int,
    name: str,
    *,
    only_tenant: Tenant | None = None,
    by: User | None,
) -> Deployment:
    """Create a deployment: `replicas` engines of a model version on a cluster. `reconcile` starts them soon.

    It gets no traffic until somebody adds its target to the model's route (`routes.change_route`).

    Args:
        version: a version that is not retired.
        cluster, replicas: where it runs, and how many engines.
        name: a DNS label, which no living deployment has.
        only_tenant: the only tenant that it serves; by default the version's only tenant, or all.
        by: an operator; None: the platform (set-up).

    Raises:
        PermissionDenied: `by` may not change deployments.
        ValidationError: by field; also if `only_tenant` may not use the version.
        Conflict: a living deployment has that name, or the version is retired.
    """
    create_deployment.require(by, None)
    check_replicas(replicas)
    version = lock_deployable(version)
    facts = facts_of(version.image, version.command)
    deployment = Deployment(
        name=name,
        version=version,
        cluster=cluster,
        only_tenant=only_tenant_for(version, only_tenant),
        replicas=replicas,
        next_look_at=now() + MESSAGE_IS_LOST_AFTER,
        runtime=facts.runtime,
        cache_key_field=facts.cache_key_field,
        is_prefix_cache_off=facts.is_prefix_cache_off,
        applied_image=version.image,
        applied_command=version.command,
    )
    deployment.clean_fields()
    if Deployment.objects.living().filter(name=name).exists():
        message = _("A deployment named %(name)s already exists. Choose another name.")
        raise Conflict(message % {"name": name}, code="name_taken")
    deployment.save(force_insert=True)
    Target.objects.create(deployment=deployment)
    routes.route_of(version.model)
    audit.record(
        "deployment.created",
        actor=by,
        subject=deployment,
        version=str(version),
        cluster=cluster.name,
        replicas=replicas,
        only_tenant=deployment.only_tenant.slug if deployment.only_tenant else "",
    )
    _reconcile_on_commit(deployment)
    return deployment


@changes_deployment()
@transaction.atomic
def scale_deployment(pk: UUID | str, replicas: int, *, by: User | None) -> Deployment:
    """Set the number of replicas; 0 keeps the deployment and stops its engines.

    Raises:
        Deployment.DoesNotExist: `by` cannot see such a deployment.
        PermissionDenied: `by` may not change deployments.
        ValidationError: this number of replicas is not possible.
        Conflict: it is being deleted.
    """
    deployment = _find(pk, by)
    scale_deployment.require(by, deployment)
    check_replicas(replicas)
    before, deployment.replicas = deployment.replicas, replicas
    if before != replicas:
        _want(deployment, "replicas")
        audit.record(
            "deployment.scaled", actor=by, subject=deployment, changes={"replicas": (before, replicas)}
        )
    return deployment


def _require_not_deleted(by: User | None, deployment: Deployment) -> None:
    if deployment.is_deleted:
        raise Conflict(_("This deployment is already being deleted."))


@action(Deployment, permission="deployments.manage_deployment", state=_require_not_deleted)
@transaction.atomic
def delete_deployment(pk: UUID | str, *, by: User | None) -> Deployment:
    """Mark the deployment for deletion; its engines finish their calls. The row stays, for history.

    Its target leaves all routes at once.

    Raises:
        Deployment.DoesNotExist: `by` cannot see such a deployment.
        PermissionDenied: `by` may not change deployments.
        Conflict: it is being deleted already.
    """
    deployment = _find(pk, by)
    delete_deployment.require(by, deployment)
    deployment.is_deleted = True
    _want(deployment, "is_deleted")
    audit.record("deployment.deleted", actor=by, subject=deployment)
    routes.remove_target(deployment.target, by=by)
    return deployment


def reconcile(pk: UUID | str, *, cluster: ClusterDriver | None = None) -> None:
    """Make the cluster match one deployment, and save what it shows; safe to repeat, at any time.

    The desired state is read inside the lock, so that an old run cannot undo a newer one; no transaction is open
    while the cluster works. `cluster` defaults to the deployment's own driver.

    A refusal (PermanentClusterError) is saved on the deployment and not tried again soon. Raises
    TemporaryClusterError, after saving that as well, so that the caller tries again.
    """
    deployments = Deployment.objects.living().with_names().filter(pk=pk)
    with one_at_a_time(_lock_name(pk)):
        wanted = deployments.first()
        if wanted is None:
            return
        try:
            observed = _make_it_so(wanted, cluster or get_cluster(wanted.cluster))
        except QuotaExceededError as error:
            observation.record_quota(wanted, str(error))
        except TemporaryClusterError as error:
            observation.record_unreachable(wanted, str(error))
            raise
        except (PermanentClusterError, ImpossibleSpecError) as error:
            _refuse(wanted, error)
        else:
            observation.record(wanted, observed, is_applied=True)


def note_too_slow(pk: UUID | str) -> None:
    """Save that a cluster did not finish with a deployment within a worker's time limit."""
    wanted = Deployment.objects.living().with_names().filter(pk=pk).first()
    if wanted is not None:
        observation.record_unreachable(wanted, TOO_SLOW())


def reconcile_what_is_due() -> int:
    """Enqueue a reconciliation of every deployment that is due; return how many.

    This repairs what a lost message or a killed worker left undone. Saving the time first keeps two
    sweeps, or a slow queue, from enqueueing the same deployment again and again.
    """
    with transaction.atomic():
        due = list(
            Deployment.objects.due().select_for_update(skip_locked=True).values_list("pk", flat=True)[:1000]
        )
        Deployment.objects.filter(pk__in=due).update(next_look_at=now() + MESSAGE_IS_LOST_AFTER)
    for pk in due:
        tasks.reconcile_deployment.delay(str(pk))
    return len(due)


def watch_engines(*, cluster: ClusterDriver | None = None) -> int:
    """Check every deployment on this machine's engine host; return how many had news.

    Gateways thus learn within seconds of an engine that died and came back elsewhere. A check reads two
    small files for each deployment, and writes only news.
    """
    unchanged, news = [], 0
    for wanted in Deployment.objects.watched_closely().with_names():
        if wanted.observed_generation != wanted.generation or observation.is_refused(wanted):
            # Its reconciliation is on the way, or only a person can change anything.
            continue
        driver = cluster or get_cluster(wanted.cluster)
        try:
            observed = driver.observe(wanted.cluster.namespace, wanted.name, str(wanted.pk))
        except (TemporaryClusterError, PermanentClusterError) as error:
            news += _note_unreachable(wanted, str(error))
            continue
        if not wanted.is_deleted and (observed is None or observed.generation != wanted.generation):
            news += _ask_again(wanted)  # the cluster forgot it
        elif observation.is_news(wanted, observed):
            news += _look_closely(wanted, driver)
        else:
            unchanged.append(wanted.pk)
    moment = now()
    Deployment.objects.filter(pk__in=unchanged, observed_at__lt=moment - SEEN_EVERY).update(
        observed_at=moment
    )
    return news


def _look_closely(wanted: Deployment, driver: ClusterDriver) -> int:
    """Observe again under the lock, so that two watchers cannot save their observations in the wrong order."""
    with if_nobody_else(_lock_name(wanted.pk)) as acquired:
        if not acquired:
            return 0
        wanted = Deployment.objects.with_names().get(pk=wanted.pk)
        observed = driver.observe(wanted.cluster.namespace, wanted.name, str(wanted.pk))
        return int(observation.is_news(wanted, observed) and observation.record(wanted, observed))


def _note_unreachable(wanted: Deployment, reason: str) -> int:
    is_known = any(condition["type"] == observation.REACHABLE for condition in wanted.conditions)
    return 0 if is_known else int(observation.record_unreachable(wanted, reason))


def _ask_again(wanted: Deployment) -> int:
    claimed = Deployment.objects.filter(pk=wanted.pk, next_look_at=wanted.next_look_at).update(
        next_look_at=now() + MESSAGE_IS_LOST_AFTER
    )
    if claimed:
        tasks.reconcile_deployment.delay(str(wanted.pk))
    return claimed


def manifests_of(deployment: Deployment) -> list[dict[str, object]]:
    """The Kubernetes objects of the desired state, with no replicas for a deleted deployment. Raises ValueError for
    objects that no cluster would accept."""
    version = deployment.version
    return engine_manifests(
        EngineSpec(
            deployment_id=str(deployment.pk),
            generation=deployment.generation,
            name=deployment.name,
            namespace=deployment.cluster.namespace,
            model=version.model.name,
            upstream_model=version.upstream_name,
            version=version.version,
            runtime=RuntimeSpec(image=version.image, command=tuple(version.command)),
            replicas=0 if deployment.is_deleted else deployment.replicas,
            gpus_per_replica=version.gpus_per_replica,
            memory=version.memory,
        )
    )


def _refuse(wanted: Deployment, error: Exception) -> None:
    observation.record_refusal(wanted, str(error))
    log.warning("deployment.refused", deployment=wanted.name, reason=str(error))


def _make_it_so(wanted: Deployment, cluster: ClusterDriver) -> Observed | None:
    if not wanted.is_deleted:
        return cluster.apply(_possible_manifests(wanted))
    try:
        return _remove(wanted, cluster)
    except UnnamedAbsenceError:
        # It may be gone, or a proxy claims so. Applied again with no replicas, its deletion can be observed; if it
        # still existed, its engines stop at once.
        cluster.apply(_possible_manifests(wanted))
        return _remove(wanted, cluster)


def _remove(wanted: Deployment, cluster: ClusterDriver) -> Observed | None:
    cluster.delete(wanted.cluster.namespace, wanted.name, str(wanted.pk))
    return cluster.observe(wanted.cluster.namespace, wanted.name, str(wanted.pk))


def _possible_manifests(wanted: Deployment) -> list[Manifest]:
    try:
        return manifests_of(wanted)
    except ValueError as error:
        raise ImpossibleSpecError(str(error)) from error


def _lock_name(pk: UUID | str) -> str:
    return f"deployment:{pk}"


def _find(pk: UUID | str, by: User | None) -> Deployment:
    deployments = Deployment.objects.all() if by is None else Deployment.objects.visible_to(by)
    return deployments.select_for_update(of=("self",)).get(pk=pk)


def _want(deployment: Deployment, *fields: str) -> None:
    deployment.generation += 1
    deployment.next_look_at = now() + MESSAGE_IS_LOST_AFTER
    deployment.save(update_fields=[*fields, "generation", "next_look_at"])
    _reconcile_on_commit(deployment)


def _reconcile_on_commit(deployment: Deployment) -> None:
    """The message is only a hint: if the broker is away, the action stands, and the sweep finds the deployment."""

    def send() -> None:
        tasks.reconcile_deployment.apply_async((str(deployment.pk),), retry=False)

    transaction.on_commit(send, robust=True)


def check_replicas(replicas: int) -> None:
    """Raise ValidationError for more replicas than one deployment can have."""
    if not 0 <= replicas <= MOST_REPLICAS:
        message = _("Choose 0 to %(most)d replicas.")
        raise ValidationError({"replicas": message % {"most": MOST_REPLICAS}})
