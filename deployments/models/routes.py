"""Routes: public model names, the targets that serve them, and the addresses below each target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from catalog.models import CatalogModel
from core.ids import uuid7
from deployments.models.deployments import Deployment, Sharing
from deployments.models.providers import ProviderModel
from deployments.models.route_handling import HANDLING_IS_POSSIBLE, Handled
from deployments.querysets import RouteEntryQuerySet, RouteQuerySet, TargetQuerySet
from tenants.models import DataClass

if TYPE_CHECKING:
    from tenants.models import Tenant

MOST_WEIGHT = 1000
MOST_PRIORITY = 100
MOST_FIRST_TOKEN_MS = 600_000
# Says what is null: a comparison with null is neither true nor false, which a constraint lets pass.
DEGRADING_IS_POSSIBLE = Q(
    degrades_to=None, degrades_at_money_percent=None, degrades_above_first_token_ms=None
) | (
    Q(degrades_to__isnull=False)
    & (Q(degrades_at_money_percent__isnull=False) | Q(degrades_above_first_token_ms__isnull=False))
    & (Q(degrades_at_money_percent=None) | Q(degrades_at_money_percent__range=(1, 100)))
    & (Q(degrades_above_first_token_ms=None) | Q(degrades_above_first_token_ms__gte=1))
)


class Target(models.Model):
    """One thing that can serve a model: a deployment, or a model of a provider. Its id lasts as long as that.

    The ledger, metrics, weights and rollouts name targets. Addresses below a target come and go.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    deployment = models.OneToOneField(
        Deployment, models.PROTECT, null=True, blank=True, related_name="target"
    )
    provider_model = models.OneToOneField(
        ProviderModel, models.CASCADE, null=True, blank=True, related_name="target"
    )
    # The configuration revision that last changed which tenants it serves.
    revision = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    objects = TargetQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(
                name="target_is_one_thing",
                condition=Q(deployment__isnull=False, provider_model=None)
                | Q(deployment=None, provider_model__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def source(self) -> Deployment:
        """The deployment that it stands for. Only for targets without a provider's model."""
        assert self.deployment is not None, "a provider's model"
        return self.deployment

    @property
    def name(self) -> str:
        """What people call it."""
        if (listed := self.provider_model) is not None:
            return f"{listed.name} · {listed.provider.name}"
        return self.source.name

    @property
    def kind(self) -> str:
        """Which kind of thing it stands for."""
        return "deployment" if self.deployment_id else "provider_model"

    @property
    def model(self) -> CatalogModel | None:
        """The only model that it can serve; None for a provider's model that is none of the catalog."""
        if self.provider_model is not None:
            return self.provider_model.model
        model: CatalogModel = self.source.version.model
        return model

    @property
    def upstream_model(self) -> str:
        """Its own name for the model."""
        if self.provider_model is not None:
            return self.provider_model.name
        return str(self.source.version.upstream_name)

    @property
    def urls(self) -> list[str]:
        """Its addresses, in order; none while a provider is disabled."""
        if self.provider_model is not None:
            provider = self.provider_model.provider
            return [provider.base_url] if provider.is_enabled else []
        return sorted(address.url for address in self.addresses.all())

    @property
    def regions(self) -> list[str]:
        """The regions in which calls to it are processed; empty if nobody has stated them."""
        if self.provider_model is not None:
            return list(self.provider_model.provider.regions)
        region = self.source.cluster.region
        return [region] if region else []

    @property
    def highest_data_class(self) -> DataClass:
        """The highest class of data that may be sent to it; our own engines may receive all."""
        if self.provider_model is not None:
            return DataClass(self.provider_model.provider.highest_data_class)
        return DataClass.RESTRICTED

    @property
    def sharing(self) -> Sharing | None:
        """Whose calls a deployment serves, and why; None for a provider's model, which serves all tenants."""
        return self.deployment.sharing if self.deployment else None

    @property
    def audience(self) -> str:
        """Whose calls it serves, in words."""
        if self.sharing is None:
            return _("Serves all tenants that its regions and its highest data class allow.")
        words = str(self.sharing.label)
        return f"{words} {self.only_tenant.name}" if self.only_tenant else words

    @property
    def health(self) -> str:
        """Its observed state, in words."""
        if self.provider_model is not None:
            provider = self.provider_model.provider
            if not provider.is_enabled:
                return _("Disabled")
            return provider.fault or (_("Reached") if provider.tested_at else _("Never tested"))
        source = self.source
        key, words = source.shown_state
        return str(words) if key == "stopped" else f"{words}, {source.ready_replicas} / {source.replicas}"

    @property
    def state(self) -> str | None:
        """The state of a deployment; None for a provider's model."""
        return self.deployment.state if self.deployment else None

    @property
    def only_tenant(self) -> Tenant | None:
        """The only tenant that it serves; None: all."""
        return self.deployment.only_tenant if self.deployment else None


class TargetAddress(models.Model):
    """An address below a target. Only observation adds and removes these; it never changes a route's entries."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    target = models.ForeignKey(Target, models.CASCADE, related_name="addresses")
    url = models.URLField(max_length=300)
    # The configuration revision that brought it to gateways.
    revision = models.BigIntegerField(default=0, editable=False)

    class Meta:
        constraints = [UniqueConstraint(fields=["target", "url"], name="address_once_per_target")]

    def __str__(self) -> str:
        return self.url


class Route(Handled):
    """A public model name, its entries, and how its calls are handled. Gateways follow; only people change it."""

    DEGRADING: ClassVar[tuple[str, ...]] = (
        "degrades_to",
        "degrades_at_money_percent",
        "degrades_above_first_token_ms",
    )

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.OneToOneField(
        CatalogModel, models.PROTECT, related_name="route", verbose_name=gettext_lazy("model")
    )
    # Whoever changes the route says which generation they looked at.
    generation = models.BigIntegerField(
        gettext_lazy("generation"),
        default=0,
        editable=False,
        help_text=gettext_lazy("Grows with every change of the route."),
    )
    changed_at = models.DateTimeField(gettext_lazy("changed at"), null=True, editable=False)
    # The configuration revision of that change.
    revision = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(gettext_lazy("created"), default=now, editable=False)

    # A smaller model that answers on purpose when one of the two goals is passed; both empty without it.
    degrades_to = models.ForeignKey(
        CatalogModel, models.PROTECT, null=True, editable=False, related_name="smaller_for"
    )
    # Of a limit on money, used or reserved.
    degrades_at_money_percent = models.PositiveSmallIntegerField(null=True, editable=False)
    # The median of the route's latest streams.
    degrades_above_first_token_ms = models.PositiveIntegerField(null=True, editable=False)

    objects = RouteQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("route")
        verbose_name_plural = gettext_lazy("routes")
        permissions = [("manage_route", "Change which targets serve a model")]
        constraints = [
            CheckConstraint(name="route_handling_is_possible", condition=HANDLING_IS_POSSIBLE),
            CheckConstraint(
                name="route_degrades_by_a_goal",
                condition=DEGRADING_IS_POSSIBLE,
            ),
        ]

    def __str__(self) -> str:
        return self.model.name


class RouteFallback(models.Model):
    """A model that may answer calls for a route's model when no target of that one answers."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    route = models.ForeignKey(Route, models.CASCADE, related_name="fallbacks")
    model = models.ForeignKey(CatalogModel, models.PROTECT, related_name="stands_in_for")
    # 0 first.
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [UniqueConstraint(fields=["route", "model"], name="fallback_once_per_route")]

    def __str__(self) -> str:
        return _("%(model)s stands in for %(route)s") % {"model": self.model, "route": self.route}


class RouteEntry(models.Model):
    """A target of a route, with its share of the calls."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    route = models.ForeignKey(Route, models.CASCADE, related_name="entries")
    target = models.ForeignKey(Target, models.PROTECT, related_name="entries")
    # Its share among the entries of the same priority; 0: no calls.
    weight = models.PositiveIntegerField(default=1)
    # 0 first; the next number only when these fail.
    priority = models.PositiveSmallIntegerField(default=0)
    # What clients name in `x-routing-strategy` to have their calls go there only.
    variant = models.CharField(max_length=40, default="stable", db_default="stable")
    # The configuration revision since which it has had a weight above 0.
    revision = models.BigIntegerField(default=0, editable=False)

    objects = RouteEntryQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["route", "target"], name="target_once_per_route"),
            CheckConstraint(name="route_entry_weight", condition=Q(weight__lte=MOST_WEIGHT)),
            CheckConstraint(name="route_entry_priority", condition=Q(priority__lte=MOST_PRIORITY)),
        ]

    def __str__(self) -> str:
        return f"{self.target} in {self.route}"
