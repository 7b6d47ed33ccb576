"""Tokens for the HTTP API, of people and service accounts."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.ids import uuid7
from core.names import LineField, NameField, one_line
from core.reading import Noted
from tenants.roles import TokenScope
from tenants.token_querysets import TokenQuerySet


class PersonalAccessToken(Noted):
    """A bearer token for the HTTP API (`qmp_…`) of a person or service account. Shown once, stored as a digest.

    With a `tenant` it opens only that tenant; without one it opens everything that its owner may see.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, models.CASCADE, verbose_name=_("user"), related_name="tokens")
    tenant = models.ForeignKey(
        "tenants.Tenant", models.PROTECT, verbose_name=_("tenant"), null=True, blank=True, related_name="+"
    )
    name = NameField(_("name"), max_length=80)
    scopes = ArrayField(
        models.CharField(max_length=20, choices=TokenScope), verbose_name=_("scopes"), default=list
    )
    prefix = models.CharField(_("token begins with"), max_length=12)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # The person who saw its secret; null means unknown.
    issued_by = models.ForeignKey(
        User,
        models.PROTECT,
        verbose_name=_("issued by"),
        null=True,
        related_name="issued_tokens",
        editable=False,
    )
    created_at = models.DateTimeField(_("created"), default=now, editable=False)
    expires_at = models.DateTimeField(_("expires"))
    last_used_at = models.DateTimeField(_("last used"), null=True)
    # Set when its owner lost the access it depends on; the suspension can be lifted.
    suspended_at = models.DateTimeField(_("suspended since"), null=True)
    suspended_reason = LineField(_("reason of the suspension"), max_length=200, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True)

    person_column = "user_id"
    objects = TokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("personal access token")
        verbose_name_plural = _("personal access tokens")
        constraints = [
            one_line("name", of="personal_access_token"),
            one_line("suspended_reason", of="personal_access_token"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def state(self) -> str:
        """The state in one word: "active", "suspended", "expired" or "revoked"."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at <= now():
            return "expired"
        return "suspended" if self.suspended_at is not None else "active"

    def effective_user(self) -> User:
        """Return the token's owner, restricted to the token: only its tenant, and staff only with the scope for it.

        The restriction exists in memory, for this request. Do not save the returned object.
        """
        user = self.user
        user.only_tenant_id = self.tenant_id
        if TokenScope.PLATFORM not in self.scopes or self.tenant_id is not None:
            user.act_without_staff_roles()
        return user
