"""People and service accounts, how they sign in, and their tokens."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.apps import apps
from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import DatabaseError, models
from django.db.models import CheckConstraint, Index, Q, UniqueConstraint
from django.utils.functional import cached_property
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.roles import StaffRole
from core.addresses import AddressField, address_or_none, is_address, read_address
from core.counting import count_of
from core.ids import uuid7
from core.names import NameField, one_line
from core.prefix import prefix_index
from core.reading import Noted
from core.stored_labels import StoredLabel, of_choices


class Source(models.TextChoices):
    """The source of a membership or staff role; a rule removes only those that a rule gave."""

    PERSON = "person", _("Given by a person")
    GROUP = "group", _("Given by a group mapping")


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Make a person. Raises ValidationError if `email` is not an address; callers choose addresses of programs."""
        is_program = fields.get("service_of") is not None
        user = self.model(email=email.lower() if is_program else read_address(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, email: str | None) -> User:
        """Find a person by the address they typed. Raises DoesNotExist also if the text is not an address."""
        return self.get(email=address_or_none(email) or "")

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(Noted, AbstractUser):
    """A person, recognized by e-mail address. Staff roles are groups named as in StaffRole."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = None  # type: ignore[assignment]
    first_name = last_name = None  # type: ignore[assignment]
    email = AddressField(_("e-mail address"), unique=True)
    name = NameField(_("name"), max_length=150, blank=True)
    external_id = models.CharField(max_length=200, blank=True, db_index=True)  # the directory's (SCIM)
    # If set, this is not a person but an account for programs of this tenant, which never signs in to pages.
    service_of = models.ForeignKey(
        "tenants.Tenant", models.PROTECT, null=True, blank=True, related_name="service_accounts"
    )
    # The person who answers for a service account.
    responsible = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="answers_for")
    erased_at = models.DateTimeField(null=True, editable=False)
    # As in settings.LANGUAGES; "": as the browser asks.
    language = models.CharField(max_length=16, blank=True)
    # Whether keys without Ctrl or Cmd do something on pages (WCAG 2.1.4: they can be switched off).
    single_keys = models.BooleanField(_("single-key shortcuts"), default=True, db_default=True)

    # Whether something in their inbox is unread. Pages of all others ask nothing about it.
    has_unread = models.BooleanField(default=False, db_default=False, editable=False)

    # What they chose not to be told, and how: "review.waits:mail" (accounts/outbox/choices.py).
    muted = ArrayField(models.CharField(max_length=80), default=list, db_default=[], editable=False)

    # Whether they have a chat channel, which only their own requests see.
    has_chat = models.BooleanField(default=False, db_default=False, editable=False)

    # An IANA name; "": UTC. And the hour there at which reviewers are sent what waits for them; None: never.
    time_zone = models.CharField(_("time zone"), max_length=60, blank=True, db_default="")
    digest_hour = models.PositiveSmallIntegerField(_("hour of the daily summary"), null=True, blank=True)

    # A service account belongs to its tenant; a person belongs to none.
    tenant_column = "service_of_id"
    person_column = "id"
    # The only tenant of the request if its token is bound to one.
    only_tenant_id: UUID | None = None

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        permissions = [
            ("erase_person", "Export and erase personal data"),
            ("manage_people", "Deactivate and reactivate people"),
        ]
        constraints = [
            is_address("email", of="user"),
            one_line("name", of="user"),
            CheckConstraint(
                name="user_digest_hour_is_one", condition=Q(digest_hour=None) | Q(digest_hour__lte=23)
            ),
        ]
        indexes = [
            Index(fields=["id"], name="user_with_digest", condition=Q(digest_hour__isnull=False)),
            prefix_index("email", "user_email_prefix"),
            prefix_index("name", "user_name_prefix"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return str(self)

    @property
    def initials(self) -> str:
        words = (self.name or self.email.split("@")[0].replace(".", " ")).split()
        return "".join(word[0] for word in words[:2]).upper()

    @cached_property
    def unread(self) -> int | str:
        """How many messages in the inbox are unread, up to 99; 0 on an error page if the database does not answer."""
        if not self.has_unread:
            return 0
        messages = apps.get_model("accounts", "OutboxMessage")
        try:
            return count_of(messages.objects.in_inbox_of(self).filter(read_at=None))
        except DatabaseError:
            return 0

    @property
    def is_service_account(self) -> bool:
        return self.service_of_id is not None

    @cached_property
    def staff_roles(self) -> frozenset[str]:
        """The names of this person's staff roles; empty for anyone who is not staff."""
        if not (self.is_staff and self.is_active):
            return frozenset()
        known = set(StaffRole.values)
        return frozenset(name for name in self.groups.values_list("name", flat=True) if name in known)

    @property
    def is_operator(self) -> bool:
        return self.is_superuser or StaffRole.OPERATOR in self.staff_roles

    def own_tenants(self) -> models.QuerySet[Any, Any]:
        """The ids of this person's tenants, as a subquery; only the token's tenant if the token is bound to one."""
        memberships = self.memberships.all()
        if self.only_tenant_id is not None:
            memberships = memberships.filter(tenant=self.only_tenant_id)
        return memberships.values("tenant")

    def act_without_staff_roles(self) -> None:
        """Drop staff roles for this request, in memory: its token lacks the scope for them. Do not save afterwards."""
        self.is_staff = self.is_superuser = False

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Whether this person has the permission; a token bound to one tenant has none outside it."""
        return self._may_touch(obj) and super().has_perm(perm, obj)

    def get_all_permissions(self, obj: Any = None) -> set[str]:
        return super().get_all_permissions(obj) if self._may_touch(obj) else set()

    def _may_touch(self, obj: Any) -> bool:
        if self.only_tenant_id is None or obj is None:
            return True
        is_tenant = obj._meta.label_lower == "tenants.tenant"
        return bool((obj.pk if is_tenant else getattr(obj, "tenant_id", None)) == self.only_tenant_id)


_STAFF_ROLE = StoredLabel(
    "accounts.staffroleassignment", _("%(who)s is %(role)s"), role=of_choices(lambda: StaffRole.choices)
)


class StaffRoleAssignment(models.Model):
    """A person's staff role and its source; the group of that name holds the permissions."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        User, models.CASCADE, verbose_name=_("user"), related_name="staff_role_assignments"
    )
    role = models.CharField(_("role"), max_length=30, choices=StaffRole)
    source = models.CharField(_("source"), max_length=6, choices=Source, default=Source.PERSON)
    created_at = models.DateTimeField(_("created"), default=now, editable=False)

    class Meta:
        verbose_name = _("staff role assignment")
        verbose_name_plural = _("staff role assignments")
        permissions = [("assign_staff_role", "Give and take staff roles")]
        constraints = [UniqueConstraint(fields=["user", "role"], name="staff_role_assignment_once")]

    def __str__(self) -> str:
        return _STAFF_ROLE(who=self.user, role=self.get_role_display().lower())


class Session(AbstractBaseSession):
    """A browser's session, with data for its owner to recognize it and for us to end it (accounts/sessions.py)."""

    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="sessions")
    created_at = models.DateTimeField(default=now, editable=False)
    seen_at = models.DateTimeField(default=now)
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)
    # The OpenID provider; empty: local sign-in.
    issuer = models.CharField(max_length=300, blank=True)
    subject = models.CharField(max_length=255, blank=True)
    # Its `sid` claim, for back-channel logout.
    provider_session = models.CharField(max_length=255, blank=True)
    has_second_factor = models.BooleanField(default=False)

    class Meta(AbstractBaseSession.Meta):
        indexes = [
            Index(fields=["issuer", "provider_session"], name="session_of_provider"),
            Index(fields=["issuer", "subject"], name="session_of_subject"),
        ]

    @classmethod
    def get_session_store_class(cls) -> type:
        from accounts.session_store import SessionStore

        return SessionStore
