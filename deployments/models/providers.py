"""Providers: APIs of others that serve models, their credentials, and the models that they list."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from catalog.models import CatalogModel
from core.ids import uuid7
from core.names import NameField, one_line
from core.stored_labels import StoredLabel
from deployments.providers.dialects import DIALECTS
from deployments.querysets import CredentialQuerySet, ProviderModelQuerySet, ProviderQuerySet
from tenants.models import DataClass

REGION = RegexValidator(r"^[a-z0-9][a-z0-9-]{0,58}[a-z0-9]$", _("Lower-case letters, digits and hyphens."))
# Gateways look such files up below their own directory of credentials, so that none names another secret of theirs.
FILE = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,4}$"
# And variables by this beginning.
VARIABLE = r"^PROVIDER_[A-Z0-9_]{1,90}$"
LONGEST_TIMEOUT_SECONDS = 3_600


def dialect_choices() -> list[tuple[str, str]]:
    """The dialects by slug, for forms and checks. Most are called by a name, the same in every language."""
    words = {
        "azure": _("Azure OpenAI, by deployment"),
        "litellm": _("LiteLLM proxy"),
        "openai_compatible": _("Other, compatible with OpenAI"),
    }
    return [(slug, str(words.get(slug, dialect.label))) for slug, dialect in DIALECTS.items()]


def _seconds(default: int, label: object, help_text: object) -> models.PositiveIntegerField[int, int]:
    return models.PositiveIntegerField(
        label,  # type: ignore[arg-type]
        default=default,
        help_text=help_text,  # type: ignore[arg-type]
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_TIMEOUT_SECONDS)],
    )


def _per_minute(label: object) -> models.BigIntegerField[int | None, int | None]:
    return models.BigIntegerField(
        label,  # type: ignore[arg-type]
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "What the provider allows us, over all of its models. Gateways send it no more, and use the next target "
            "instead. Empty: not known."
        ),
    )


class Provider(models.Model):
    """An API that serves models: OpenAI, Azure OpenAI, Anthropic, a vLLM somewhere, a LiteLLM proxy."""

    # What people edit. The name stays: audit entries and metrics speak of it.
    EDITABLE: ClassVar[tuple[str, ...]] = (
        "title",
        "dialect",
        "base_url",
        "api_version",
        "regions",
        "highest_data_class",
        "retention_days",
        "trains_on_data",
        "extra_headers",
        "receives_traces",
        "connect_timeout_seconds",
        "first_byte_timeout_seconds",
        "idle_timeout_seconds",
        "proxy_url",
        "private_ca",
        "requests_per_minute",
        "tokens_per_minute",
    )
    # Who gets the credential: the server, the proxy on the way, and who vouches for the server.
    PLACE: ClassVar[frozenset[str]] = frozenset({"base_url", "proxy_url", "private_ca"})
    # A change of these is tested before it is saved.
    CONNECTION: ClassVar[frozenset[str]] = frozenset({"dialect", "api_version", "extra_headers", *PLACE})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.SlugField(
        _("name"), max_length=60, unique=True, help_text=_("Such as openai-eu. It cannot be changed.")
    )
    title = NameField(_("display name"), max_length=120)
    dialect = models.CharField(_("dialect"), max_length=30, choices=dialect_choices)
    base_url = models.CharField(
        _("base URL"), max_length=300, help_text=_("Up to and including the version, such as https://…/v1.")
    )
    api_version = models.CharField(
        _("API version"),
        max_length=40,
        blank=True,
        validators=[RegexValidator(r"^[A-Za-z0-9.-]*$", _("Letters, digits, dots and hyphens."))],
        help_text=_("For Azure OpenAI by deployment. Empty: the usual one."),
    )
    regions = ArrayField(
        models.CharField(max_length=60, validators=[REGION]),
        verbose_name=_("regions"),
        default=list,
        blank=True,
        help_text=_(
            "Where calls are processed, separated by commas. Empty: not known, so resident tenants cannot use it."
        ),
    )
    highest_data_class = models.CharField(
        _("highest data class"), max_length=12, choices=DataClass, default=DataClass.INTERNAL
    )
    retention_days = models.PositiveIntegerField(
        _("retention in days"),
        null=True,
        blank=True,
        help_text=_("How long the provider keeps prompts and answers. 0: not at all. Empty: not known."),
    )
    trains_on_data = models.BooleanField(_("trains on our data"), null=True, blank=True)
    # {"openai-organization": "org-1"}: sent with every call. Never a secret; names in lower case.
    extra_headers = models.JSONField(_("extra headers"), default=dict, blank=True)
    receives_traces = models.BooleanField(
        _("receives traces"),
        default=False,
        help_text=_(
            "Send it the traceparent and X-Trace-ID of each call. They are ours, so others get none."
        ),
    )
    connect_timeout_seconds = _seconds(5, _("time-out of connecting"), _("In seconds."))
    first_byte_timeout_seconds = _seconds(
        120, _("time-out of the first byte"), _("In seconds. Models that think answer late.")
    )
    idle_timeout_seconds = _seconds(60, _("time-out between bytes"), _("In seconds."))
    proxy_url = models.CharField(
        _("proxy"),
        max_length=300,
        blank=True,
        help_text=_("Such as http://proxy.example.com:3128. Empty: none."),
    )
    private_ca = models.TextField(
        _("private CA"),
        blank=True,
        help_text=_(
            "Certificates in PEM form, trusted instead of the public authorities. Empty: the public ones."
        ),
    )
    requests_per_minute = _per_minute(_("our requests per minute there"))
    tokens_per_minute = _per_minute(_("our tokens per minute there"))

    is_enabled = models.BooleanField(_("enabled"), default=True)
    # The last test: when, how long its answer took, and in one sentence what was wrong. Empty: it was reached.
    tested_at = models.DateTimeField(_("tested"), null=True, blank=True, editable=False)
    answered_in_ms = models.PositiveIntegerField(_("answered in (ms)"), null=True, blank=True, editable=False)
    fault = models.CharField(_("fault"), max_length=600, blank=True, editable=False)
    # When its list of models was last read. Models that were in it then have this time as `last_seen_at`.
    listed_at = models.DateTimeField(_("models listed"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    objects = ProviderQuerySet.as_manager()

    class Meta:
        verbose_name = _("provider")
        verbose_name_plural = _("providers")
        permissions = [("manage_provider", "Add, change, disable and delete providers")]
        constraints = [
            one_line("title", of="provider"),
            CheckConstraint(
                name="provider_timeouts_are_positive",
                condition=Q(
                    connect_timeout_seconds__gte=1,
                    first_byte_timeout_seconds__gte=1,
                    idle_timeout_seconds__gte=1,
                ),
            ),
            CheckConstraint(
                name="provider_quota_is_positive",
                condition=(Q(requests_per_minute=None) | Q(requests_per_minute__gte=1))
                & (Q(tokens_per_minute=None) | Q(tokens_per_minute__gte=1)),
            ),
        ]

    def __str__(self) -> str:
        return self.title


class ProviderCredential(models.Model):
    """A provider's key: encrypted here, or a reference to where gateways find it. Nobody can read it in the console."""

    class Kind(models.TextChoices):
        STORED = "stored", _("Stored here, encrypted")
        FILE = "file", _("A file on the gateways")
        VARIABLE = "environment", _("An environment variable of the gateways")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.ForeignKey(
        Provider, models.CASCADE, verbose_name=_("provider"), related_name="credentials"
    )
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    # Encrypted for the purpose in deployments/provider_credentials.py. Erased once the credential has ended.
    ciphertext = models.BinaryField(null=True, editable=False)
    # The name of the file or variable.
    reference = models.CharField(_("reference"), max_length=200, blank=True)
    # The last characters, and a keyed digest, by which people recognize it.
    hint = models.CharField(_("ends with"), max_length=8, blank=True)
    fingerprint = models.CharField(_("fingerprint"), max_length=16, blank=True)
    valid_from = models.DateTimeField(_("valid from"), default=now)
    # None: until it is replaced.
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    made_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("made by")
    )
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    objects = CredentialQuerySet.as_manager()

    class Meta:
        verbose_name = _("provider credential")
        verbose_name_plural = _("provider credentials")
        constraints = [
            CheckConstraint(
                name="provider_credential_is_of_its_kind",
                condition=Q(kind="stored", reference="", ciphertext__isnull=False)
                | Q(kind="stored", reference="", valid_until__isnull=False)
                | Q(kind="file", ciphertext=None, reference__regex=FILE)
                | Q(kind="environment", ciphertext=None, reference__regex=VARIABLE),
            ),
            CheckConstraint(
                name="provider_credential_ends_after_it_begins",
                condition=Q(valid_until=None) | Q(valid_until__gte=models.F("valid_from")),
            ),
            UniqueConstraint(
                fields=["provider"], condition=Q(valid_until=None), name="provider_credential_one_without_end"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.label}"

    @property
    def label(self) -> str:
        """What people recognize it by; never the credential."""
        if self.kind != self.Kind.STORED:
            return self.reference
        return f"…{self.hint} ({self.fingerprint})" if self.hint else self.fingerprint

    def is_in_force(self, at: datetime) -> bool:
        """Whether calls may use it at that time."""
        return self.valid_from <= at and (self.valid_until is None or at < self.valid_until)


_MODEL = StoredLabel("deployments.providermodel", _("%(what)s at %(provider)s"))


class ProviderModel(models.Model):
    """A model as its provider names it, and the catalog's model that it is."""

    class MatchedBy(models.TextChoices):
        EXACT = "exact", _("the same name")
        NORMALIZED = "normalized", _("the same name in another spelling")
        PERSON = "person", _("a person")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, verbose_name=_("provider"), related_name="models")
    # As calls to the provider name it; for Azure the name of the deployment.
    name = models.CharField(_("name at the provider"), max_length=200)
    # Of the catalog's modes. Empty: not known.
    mode = models.CharField(_("mode"), max_length=40, blank=True)
    model = models.ForeignKey(
        CatalogModel,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="provider_models",
        verbose_name=_("model"),
    )
    # Empty without a model. With "person" and no model, somebody said that it is none of the catalog.
    matched_by = models.CharField(_("matched by"), max_length=12, choices=MatchedBy, blank=True)
    # A person named it, for providers that list nothing. No list removes it.
    is_named_by_hand = models.BooleanField(_("named by hand"), default=False)
    first_seen_at = models.DateTimeField(_("first seen"), default=now, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), default=now, editable=False)

    objects = ProviderModelQuerySet.as_manager()

    class Meta:
        verbose_name = _("provider model")
        verbose_name_plural = _("provider models")
        constraints = [UniqueConstraint(fields=["provider", "name"], name="provider_model_once")]

    def __str__(self) -> str:
        return _MODEL(what=self.name, provider=self.provider)

    @property
    def is_listed(self) -> bool:
        """Whether the provider's last list had it, or a person named it."""
        if self.is_named_by_hand:
            return True
        return self.provider.listed_at is not None and self.last_seen_at >= self.provider.listed_at


_POLICY = StoredLabel("deployments.egresspolicy", _("of %(at)s"))


class EgressPolicy(models.Model):
    """One row: the networks beyond the public Internet in which providers may be."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    # As core.egress.read_networks reads them: "10.20.0.0/16".
    allowed_networks = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    changed_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [CheckConstraint(name="egress_policy_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return _POLICY(at=f"{self.changed_at:%Y-%m-%d %H:%M:%S}")
