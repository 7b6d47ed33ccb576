"""Models, their offers and versions."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import GeneratedField, Index, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from catalog.modes import mode_label
from catalog.querysets import VISIBLE_LIFECYCLES, CatalogModelQuerySet
from catalog.rules import RiskTier
from catalog.search import ModelWords, Places, TrueFlags
from core.ids import uuid7
from core.stored_labels import StoredLabel
from tenants.models import DataClass, Tenant

_OFFER = StoredLabel("catalog.offer", _("%(what)s at %(provider)s"))

PUBLIC_NAME = RegexValidator(
    r"^[a-z0-9][a-z0-9._-]*$", _("Lower-case letters, digits, dots, hyphens and underscores only.")
)


class CatalogModel(models.Model):
    """A model that tenants see and request, under a stable public name."""

    class Lifecycle(models.TextChoices):
        DRAFT = "draft", _("Draft")
        PREVIEW = "preview", _("Preview")
        PUBLISHED = "published", _("Published")
        DEPRECATED = "deprecated", _("Deprecated")
        RETIRED = "retired", _("Retired")

    class Hosting(models.TextChoices):
        OURS = "ours", _("our clusters")
        VENDOR = "vendor", _("vendor-hosted")

    class Visibility(models.TextChoices):
        ALL = "all", _("All tenants")
        TENANTS = "tenants", _("Chosen tenants")
        HIDDEN = "hidden", pgettext_lazy("who sees a model", "Nobody")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("name"), max_length=120, unique=True, validators=[PUBLIC_NAME])
    title = models.CharField(_("display name"), max_length=160)
    maker = models.CharField(_("maker"), max_length=80, blank=True)  # who made the weights
    description = models.TextField(_("description"), blank=True)
    # Chat, embedding, rerank, …, as named in the price map.
    mode = models.CharField(_("kind"), max_length=40)
    context_tokens = models.BigIntegerField(_("context in tokens"), null=True)
    max_output_tokens = models.BigIntegerField(_("longest output in tokens"), null=True)
    # {"function_calling": true}; an absent flag is unknown.
    capabilities = models.JSONField(_("capabilities"), default=dict)
    # Providers of its offers, for facets.
    providers = ArrayField(models.CharField(max_length=60), verbose_name=_("providers"), default=list)
    regions = ArrayField(models.CharField(max_length=60), verbose_name=_("regions"), default=list)
    hosting = models.CharField(_("hosting"), max_length=10, choices=Hosting, default=Hosting.VENDOR)
    lifecycle = models.CharField(_("lifecycle"), max_length=12, choices=Lifecycle, default=Lifecycle.DRAFT)
    deprecation_date = models.DateField(_("deprecation date"), null=True)
    risk_tier = models.CharField(_("risk tier"), max_length=10, choices=RiskTier, default=RiskTier.MODERATE)
    highest_data_class = models.CharField(
        _("highest data class"), max_length=12, choices=DataClass, default=DataClass.INTERNAL
    )
    # Who may find and request it. Grants in force stay, whatever it says.
    visibility = models.CharField(
        max_length=10, choices=Visibility, default=Visibility.ALL, db_default=Visibility.ALL
    )
    # Slugs of the chosen tenants; a slug never changes.
    only_for = ArrayField(models.CharField(max_length=60), default=list, db_default=[])
    # The data policy.
    prompts_go_to = models.CharField(max_length=200, blank=True, db_default="")
    # 0: not kept. Null: not known.
    retention_days = models.PositiveIntegerField(null=True)
    trains_on_data = models.BooleanField(null=True)
    licence = models.CharField(max_length=80, blank=True, db_default="")
    licence_url = models.URLField(max_length=500, blank=True, db_default="")
    # Tags of BCP 47.
    languages = ArrayField(models.CharField(max_length=40), default=list, db_default=[])
    family = models.CharField(max_length=60, blank=True, db_default="")
    modalities_in = ArrayField(models.CharField(max_length=20), default=list, db_default=[])
    modalities_out = ArrayField(models.CharField(max_length=20), default=list, db_default=[])
    sla = models.CharField(max_length=200, blank=True, db_default="")
    # A person or a group, in words.
    owner = models.CharField(max_length=160, blank=True, db_default="")
    # The public name of another model.
    successor = models.CharField(max_length=120, blank=True, db_default="")
    tags = ArrayField(models.CharField(max_length=40), default=list, db_default=[])
    # Source of the facts.
    source = models.CharField(_("source"), max_length=120, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    updated_at = models.DateTimeField(_("updated"), default=now)
    # Number of places that offer it now, without variants.
    offer_count = models.PositiveIntegerField(_("offers"), default=0)
    # Only for sorting and filters. Calls are billed at billing's list price.
    list_input_price = models.DecimalField(max_digits=18, decimal_places=8, null=True)
    list_output_price = models.DecimalField(max_digits=18, decimal_places=8, null=True)
    list_cache_price = models.DecimalField(max_digits=18, decimal_places=8, null=True)
    # Of the columns above, for filters: true flags, and regions with the larger ones in which they lie.
    able = GeneratedField(
        expression=TrueFlags("capabilities"), output_field=ArrayField(models.TextField()), db_persist=True
    )
    places = GeneratedField(
        expression=Places("regions"), output_field=ArrayField(models.TextField()), db_persist=True
    )
    # By fact: source, time, and what the last import said (catalog/provenance.py).
    provenance = models.JSONField(
        default=dict, db_default=models.Value({}, models.JSONField()), editable=False
    )
    # Facts of which the last import says something else than an operator, who has not seen it yet.
    differing = ArrayField(models.CharField(max_length=40), default=list, db_default=[], editable=False)
    search_text = models.TextField(blank=True, editable=False)  # more words, by imports
    search = GeneratedField(
        expression=ModelWords("name", "title", "maker", "search_text", "mode", "providers", "capabilities"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects = CatalogModelQuerySet.as_manager()

    class Meta:
        verbose_name = _("model")
        verbose_name_plural = _("models")
        permissions = [
            ("publish_model", "Publish or retire a model"),
            ("curate_model", "Edit the facts of a model"),
        ]
        indexes = [
            GinIndex(fields=["search"], name="catalog_model_search"),
            Index(fields=["name"], name="catalog_model_differing", condition=~Q(differing=[])),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_visible(self) -> bool:
        """True if the model is published, as in the queryset's `published()`."""
        is_over = self.deprecation_date is not None and self.deprecation_date <= now().date()
        return self.lifecycle in VISIBLE_LIFECYCLES and not is_over

    def is_offered_to(self, tenant: Tenant) -> bool:
        """True if the tenant may find and request the model, as in the queryset's `offered_to()`."""
        is_chosen = self.visibility == self.Visibility.TENANTS and tenant.slug in self.only_for
        return self.is_visible and (is_chosen or self.visibility == self.Visibility.ALL)

    @property
    def host_label(self) -> str:
        return self.get_hosting_display()

    @property
    def mode_label(self) -> str:
        return mode_label(self.mode)


class Offer(models.Model):
    """One provider's terms for a model in one region, as an imported source states them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(CatalogModel, models.CASCADE, related_name="offers")
    source = models.CharField(max_length=120)
    # The entry's own name in the source.
    source_key = models.CharField(_("key in the source"), max_length=200)
    provider = models.CharField(_("provider"), max_length=60)
    region = models.CharField(_("region"), max_length=60, blank=True)
    # {"input": "2.50000000"} US dollars per million, as strings.
    prices = models.JSONField(_("prices"), default=dict)
    # The other facts that the source states, under our names.
    facts = models.JSONField(default=dict)
    source_url = models.URLField(max_length=500, blank=True)
    deprecation_date = models.DateField(_("deprecation date"), null=True)
    # SHA-256 of the entry. The import uses it to skip unchanged entries.
    digest = models.CharField(max_length=64)
    # True if its prices are the model's list prices.
    is_primary = models.BooleanField(_("primary"), default=False)

    class Meta:
        constraints = [
            UniqueConstraint(fields=["source", "source_key"], name="offer_once_per_source"),
            UniqueConstraint(fields=["model"], condition=Q(is_primary=True), name="offer_one_primary"),
        ]

    def __str__(self) -> str:
        return _OFFER(what=self.source_key, provider=self.provider)
