"""Versions of a model: one set of weights each, and what it needs to run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from catalog.models.offered import CatalogModel
from core.ids import uuid7
from tenants.models import Tenant

VERSION_PART = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z", _("Letters, digits, dots, hyphens and underscores only.")
)
_DIGEST = RegexValidator(
    r"\Asha256:[0-9a-f]{64}\Z", _("Write a digest as sha256: with 64 digits and letters from a to f.")
)
_MEMORY = RegexValidator(
    r"\A[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?\Z", _("Write an amount of memory such as 512Mi or 80Gi.")
)
_IMAGE = RegexValidator(r"\A[A-Za-z0-9][A-Za-z0-9._/:@-]*\Z", _("This is no name of a container image."))


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    """Queries for versions."""

    def current(self) -> Self:
        """Those that are not retired."""
        return self.filter(retired_at=None)

    def named(self, full_name: str) -> Self:
        """The version with this `org/model/version`; none for another text."""
        match full_name.split("/"):
            case [org, model, version]:
                return self.filter(org=org, model__name=model, version=version)
        return self.none()

    def offered_to(self, tenants: Iterable[Tenant]) -> Self:
        """Current versions, of models that one of these tenants may find, which the same tenant may use."""
        found = Q(pk__in=[])
        for tenant in tenants:
            offered = CatalogModel.objects.offered_to([tenant])
            for_all = Q(visibility=ModelVersion.Visibility.ALL)
            found |= Q(model__in=offered) & (for_all | Q(only_for__contains=[tenant.slug]))
        return self.current().filter(found)


class ModelVersion(models.Model):
    """One set of weights of a model, named `org/model/version`, with what it needs to run.

    A version with a `base` is a LoRA adapter of that one. Triggers keep both of one kind of model, and an adapter to
    tenants that may use its base.
    """

    class Format(models.TextChoices):
        SAFETENSORS = "safetensors", "safetensors"
        GGUF = "gguf", "GGUF"
        ONNX = "onnx", "ONNX"
        PICKLE = "pickle", _("PyTorch (pickle)")

    class Visibility(models.TextChoices):
        ALL = "all", _("All tenants")
        TENANTS = "tenants", _("Chosen tenants")

    # What a deployment runs: the same as long as there are deployments of it, gone ones included.
    RUNS: ClassVar[tuple[str, ...]] = (
        "upstream_name",
        "digest",
        "precision",
        "format",
        "image",
        "command",
        "endpoints",
        "gpus_per_replica",
        "memory",
    )
    EDITABLE: ClassVar[tuple[str, ...]] = (
        *RUNS,
        "parameters",
        "context_tokens",
        "visibility",
        "only_for",
    )

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(CatalogModel, models.PROTECT, verbose_name=_("model"), related_name="versions")
    # The first part of the name: who made these weights.
    org = models.CharField(_("organization"), max_length=60, validators=[VERSION_PART])
    version = models.CharField(_("version"), max_length=60, validators=[VERSION_PART])
    # Its name in the engine.
    upstream_name = models.CharField(_("upstream name"), max_length=200)
    # "sha256:…" of the weights' manifest.
    digest = models.CharField(_("digest"), max_length=80, blank=True, validators=[_DIGEST])
    # bf16, fp8, …
    precision = models.CharField(_("precision"), max_length=20, blank=True, validators=[VERSION_PART])
    format = models.CharField(
        _("file format"), max_length=12, choices=Format, blank=True, default="", db_default=""
    )
    # How many numbers the weights are. Null: not known.
    parameters = models.BigIntegerField(
        _("parameters"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    # If it differs from its model's.
    context_tokens = models.BigIntegerField(
        _("context in tokens"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    # Of a LoRA adapter: the version whose weights it changes.
    base = models.ForeignKey(
        "self", models.PROTECT, verbose_name=_("base version"), null=True, blank=True, related_name="adapters"
    )
    gpus_per_replica = models.PositiveIntegerField(_("GPUs per replica"), default=0)
    memory = models.CharField(_("memory"), max_length=20, default="512Mi", validators=[_MEMORY])
    image = models.CharField(_("container image"), max_length=300, validators=[_IMAGE])
    # In addition to its model's mode.
    endpoints = ArrayField(
        models.CharField(max_length=20), verbose_name=_("further endpoints"), default=list, blank=True
    )
    # May hold {port} and {model}
    command = ArrayField(
        models.CharField(max_length=300), verbose_name=_("command"), default=list, blank=True
    )
    # Of the tenants that may use the model.
    visibility = models.CharField(
        _("offered to"), max_length=10, choices=Visibility, default=Visibility.ALL, db_default=Visibility.ALL
    )
    # Slugs of the chosen tenants; a slug never changes.
    only_for = ArrayField(
        models.CharField(max_length=60),
        verbose_name=_("chosen tenants"),
        default=list,
        db_default=[],
        blank=True,
    )
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    # Retired versions are offered to nobody, and not deployed again; deployments go on.
    retired_at = models.DateTimeField(_("retired"), null=True, editable=False)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("model version")
        verbose_name_plural = _("model versions")
        permissions = [("manage_version", "Make, edit and retire versions of models")]
        constraints = [
            UniqueConstraint(fields=["model", "version"], name="model_version_unique"),
            CheckConstraint(
                name="model_version_is_for_somebody",
                condition=Q(visibility="all", only_for=[]) | Q(visibility="tenants") & ~Q(only_for=[]),
            ),
            CheckConstraint(
                name="model_version_numbers",
                condition=(Q(parameters=None) | Q(parameters__gte=1))
                & (Q(context_tokens=None) | Q(context_tokens__gte=1)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} {self.version}"

    @property
    def full_name(self) -> str:
        """`org/model/version`."""
        return f"{self.org}/{self.model.name}/{self.version}"

    @property
    def is_retired(self) -> bool:
        return self.retired_at is not None

    def serves(self, tenant: Tenant) -> bool:
        """Whether the tenant may use it, if it may use the model."""
        return self.visibility == self.Visibility.ALL or tenant.slug in self.only_for
