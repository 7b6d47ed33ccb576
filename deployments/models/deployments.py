"""Deployments: model versions that should run on a cluster, and what was last observed of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from catalog.models import ModelVersion
from core.ids import uuid7
from deployments.client_fields import LONGEST_FIELD
from deployments.engine_controls import fold, may_be_allowed
from deployments.models.clusters import DNS_LABEL, Cluster
from deployments.querysets import DeploymentQuerySet
from deployments.runtimes import RuntimeFacts, chats_also, facts_of, program_digest, takes
from tenants.models import Tenant

if TYPE_CHECKING:
    from deployments.models.routes import Route, Target


class Sharing(models.TextChoices):
    """Whether several tenants may use one engine, whose prefix cache could reveal one tenant's prompts to another."""

    SEPARATED = "separated", _("Serves all tenants: its prefix cache is separate for each.")
    NO_CACHE = "no_cache", _("Serves all tenants: it runs without a prefix cache.")
    ONE_TENANT = "one_tenant", _("Serves one tenant only.")
    ACCEPTED = "accepted", _("Serves all tenants from one prefix cache: an operator has accepted this.")
    NOBODY = (
        "nobody",
        _(
            "Serves nobody: it is not known to separate tenants in its prefix cache, so one could guess "
            "another's prompts. Start it without a prefix cache, give it to one tenant, state its "
            "separating field, or accept a shared cache."
        ),
    )


class Deployment(models.Model):
    """A model version that should run on a cluster, and its last observed state."""

    class State(models.TextChoices):
        STARTING = "starting", _("Starting")
        HEALTHY = "healthy", _("Healthy")
        DEGRADED = "degraded", _("Degraded")
        DOWN = "down", _("Down")
        DELETED = "deleted", _("Deleted")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Free again once the deployment is deleted.
    name = models.CharField(_("name"), max_length=53, validators=[DNS_LABEL])
    version = models.ForeignKey(
        ModelVersion, models.PROTECT, verbose_name=_("version"), related_name="deployments"
    )
    cluster = models.ForeignKey(
        Cluster, models.PROTECT, verbose_name=_("cluster"), related_name="deployments"
    )
    replicas = models.PositiveIntegerField(_("replicas"), default=1)
    # Grows with every change of the desired state.
    generation = models.BigIntegerField(_("generation"), default=1)
    # To be deleted; the row stays for history.
    is_deleted = models.BooleanField(default=False)

    observed_generation = models.BigIntegerField(_("observed generation"), default=0)
    ready_replicas = models.PositiveIntegerField(default=0)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.STARTING)
    # [{"type", "status", "reason", "message"}], from the cluster.
    conditions = models.JSONField(default=list, blank=True)
    observed_at = models.DateTimeField(_("observed"), null=True, blank=True)
    # What someone changed in the cluster and we put back.
    drift = models.CharField(max_length=600, blank=True)
    drift_at = models.DateTimeField(null=True, blank=True)  # when, the last time
    # When the sweep checks it again, even if messages were lost.
    next_look_at = models.DateTimeField(default=now)
    created_at = models.DateTimeField(default=now, editable=False)

    # The program that was last seen running as desired. Empty: not recorded yet, or none of it has run.
    applied_image = models.CharField(max_length=300, blank=True, default="", db_default="", editable=False)
    applied_command = ArrayField(
        models.CharField(max_length=300), default=list, db_default=[], blank=True, editable=False
    )
    # What gateways last learned of it. The current judgment is `facts`; deployments.judgment compares the two.
    runtime = models.CharField(max_length=20, blank=True, default="", db_default="", editable=False)
    cache_key_field = models.CharField(max_length=40, blank=True, default="", db_default="", editable=False)
    is_prefix_cache_off = models.BooleanField(default=False, db_default=False, editable=False)
    # What an operator stated about the program `stated_program` (runtimes.program_digest); who: the audit log.
    stated_field = models.CharField(max_length=LONGEST_FIELD, blank=True, default="", db_default="")
    stated_reason = models.CharField(max_length=500, blank=True, default="", db_default="")
    stated_program = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    stated_at = models.DateTimeField(null=True, blank=True)
    statement_lapsed_at = models.DateTimeField(null=True, blank=True)
    # What operators decided about sharing it between tenants.
    only_tenant = models.ForeignKey(Tenant, models.PROTECT, null=True, blank=True, related_name="+")
    # Who and when: the audit log.
    sharing_reason = models.CharField(max_length=500, blank=True, default="", db_default="")
    sharing_accepted_at = models.DateTimeField(null=True, blank=True)
    allowed_controls = ArrayField(models.CharField(max_length=60), default=list, db_default=[], blank=True)

    objects = DeploymentQuerySet.as_manager()
    if TYPE_CHECKING:
        target: Target

    class Meta:
        verbose_name = _("deployment")
        verbose_name_plural = _("deployments")
        permissions = [("manage_deployment", "Create, scale and delete deployments")]
        constraints = [
            CheckConstraint(
                name="deployment_observed_what_was_wanted",
                condition=Q(observed_generation__lte=models.F("generation")),
            ),
            UniqueConstraint(
                fields=["name"], condition=~Q(state="deleted"), name="deployment_name_unique_while_it_lives"
            ),
            CheckConstraint(
                name="deployment_sharing_has_a_reason",
                condition=Q(sharing_accepted_at=None, sharing_reason="")
                | (Q(sharing_accepted_at__isnull=False) & ~Q(sharing_reason="")),
            ),
            CheckConstraint(
                name="deployment_statement_is_whole",
                condition=Q(
                    stated_field="",
                    stated_reason="",
                    stated_program="",
                    stated_at=None,
                    statement_lapsed_at=None,
                )
                | Q(stated_field__regex=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$", stated_at__isnull=False)
                & ~Q(stated_reason="")
                & ~Q(stated_program=""),
            ),
        ]
        indexes = [Index(fields=["next_look_at"], condition=~Q(state="deleted"), name="deployment_due")]

    def __str__(self) -> str:
        return self.name

    @property
    def shown_state(self) -> tuple[str, Any]:
        """What people read about it, after a key: its observed state, or that it is stopped or ends on purpose."""
        if self.is_deleted and self.state != self.State.DELETED:
            return "deleting", _("Being deleted")
        if not self.replicas and not self.ready_replicas and self.state == self.State.HEALTHY:
            return "stopped", _("Stopped")
        return self.state, self.State(self.state).label

    @property
    def facts(self) -> RuntimeFacts:
        """What this release knows of the engine: of the desired program and of the running one."""
        wanted = facts_of(self.version.image, self.version.command)
        if not self.applied_image and not self.applied_command:
            return wanted
        return wanted.shared_with(facts_of(self.applied_image, self.applied_command))

    @property
    def chats_also(self) -> frozenset[str]:
        """Further modes in which it takes calls to a model that chats: those of the desired and the running program."""
        wanted = chats_also(self.version.image, self.version.command)
        if not self.applied_image and not self.applied_command:
            return wanted
        return wanted & chats_also(self.applied_image, self.applied_command)

    def takes(self, mode: str) -> bool:
        """Whether it takes calls to a model of this mode."""
        version = self.version
        return takes(
            mode, version.endpoints, version.image, version.command, self.applied_image, self.applied_command
        )

    @property
    def is_being_replaced(self) -> bool:
        """Whether the desired program differs from the one last seen running."""
        if not self.applied_image and not self.applied_command:
            return False
        return (self.applied_image, self.applied_command) != (self.version.image, self.version.command)

    @property
    def is_statement_in_force(self) -> bool:
        """Whether the operator's statement is about the current image and command, and has not lapsed."""
        if not self.stated_field or self.statement_lapsed_at is not None:
            return False
        return self.stated_program == program_digest(self.version.image, self.version.command)

    @property
    def separating_field(self) -> str:
        """The field by which it separates its prefix cache: the known one, else the stated one. Empty: none."""
        return self.facts.cache_key_field or (self.stated_field if self.is_statement_in_force else "")

    @property
    def sharing(self) -> Sharing:
        """Whose calls it may serve, and why; the first rule that applies."""
        if self.only_tenant_id is not None:
            return Sharing.ONE_TENANT
        if self.separating_field:
            return Sharing.SEPARATED
        if self.facts.is_prefix_cache_off:
            return Sharing.NO_CACHE
        return Sharing.ACCEPTED if self.sharing_accepted_at is not None else Sharing.NOBODY

    @property
    def controls_in_force(self) -> list[str]:
        """The engine controls that clients may send: the allowed ones that suit the tenants it serves now."""
        is_alone = self.only_tenant_id is not None
        # The gateway sets that field itself.
        own = fold(self.separating_field)
        return [
            name
            for name in self.allowed_controls
            if may_be_allowed(name, serves_one_tenant=is_alone) and fold(name) != own
        ]

    @property
    def urls(self) -> set[str]:
        """The addresses of its target, as they were last observed."""
        return set(self.target.urls)

    @property
    def has_substitute(self) -> bool:
        """Whether another target with an address gets calls to the same model."""
        route: Route | None = getattr(self.version.model, "route", None)
        return route is not None and any(
            entry.weight > 0 and entry.target_id != self.target.pk and entry.target.addresses.all()
            for entry in route.entries.all()
        )

    @property
    def gets_traffic(self) -> bool:
        """Whether somebody has given it a share of the calls to its model."""
        return any(entry.weight > 0 for entry in self.target.entries.all())
