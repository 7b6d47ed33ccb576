"""What people are told about grants: that one is suspended, was revoked, or ends soon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.mail import quoted
from accounts.models import OutboxMessage, User
from accounts.outbox.events import Event, declare
from accounts.outbox.posting import tell
from catalog.models import Grant
from catalog.querysets import GrantQuerySet
from core.dates import day_and_year
from core.stored_words import retold
from tenants.models import ApiKey, Tenant
from tenants.roles import roles_with

BOTH: Final = (OutboxMessage.Channel.MAIL, OutboxMessage.Channel.INBOX)
# Owners and admins of one tenant who are told of suspended grants.
MOST_TOLD: Final = 20


class GrantEvent(Event):
    """Something happened to a grant; people are told as long as they see it, and by mail only if it is still so."""

    channels: ClassVar[Sequence[str]] = BOTH

    def still(self, grants: GrantQuerySet[Grant], reader: User) -> GrantQuerySet[Grant]:
        """The grants of which a mail may still say it."""
        raise NotImplementedError

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, Any]:
        reader = messages[0].user
        # None of these events is for a bare address.
        assert reader is not None
        grants = Grant.objects.visible_to(reader).filter(pk__in=[one.subject_id for one in messages])
        if messages[0].channel == OutboxMessage.Channel.MAIL:
            grants = self.still(grants, reader)
        found = {one.pk: one for one in grants.select_related("tenant", "project", "model", "owner")}
        return {one.pk: found[one.subject_id] for one in messages if one.subject_id in found}

    def path(self, message: OutboxMessage, subject: Grant) -> str:
        return reverse("grant-detail", args=[subject.tenant.slug, subject.pk])


class GrantsSuspended(GrantEvent):
    """The owner of grants may no longer answer for them. The subject is one of them."""

    name = "grant.suspended"
    label = gettext_lazy("Access is suspended because its owner left")

    def still(self, grants: GrantQuerySet[Grant], reader: User) -> GrantQuerySet[Grant]:
        return grants.suspended()

    def title(self, message: OutboxMessage, subject: Grant) -> str:
        return _("Access to models in %(tenant)s is suspended: its owner left") % {
            "tenant": quoted(subject.tenant)
        }

    def lines(self, message: OutboxMessage, subject: Grant) -> Sequence[str]:
        return [
            _("Among others: %(model)s for %(project)s.") % _places(subject),
            _("Calls are refused until somebody who may request access there takes it over."),
        ]

    def path(self, message: OutboxMessage, subject: Grant) -> str:
        return reverse("grant-list", args=[subject.tenant.slug]) + "?tab=suspended"


class GrantRevoked(GrantEvent):
    name = "grant.revoked"
    label = gettext_lazy("Access that you answer for or use was revoked")

    def still(self, grants: GrantQuerySet[Grant], reader: User) -> GrantQuerySet[Grant]:
        return grants

    def title(self, message: OutboxMessage, subject: Grant) -> str:
        return _("Access to %(model)s was revoked in %(project)s") % _places(subject)

    def lines(self, message: OutboxMessage, subject: Grant) -> Sequence[str]:
        reason = quoted(retold(subject.revoked_reason), Grant.LONGEST_REASON)
        return [_("The reason: %(reason)s") % {"reason": reason}] if subject.revoked_reason else []


class GrantEnds(GrantEvent):
    name = "grant.ends"
    label = gettext_lazy("Access that you answer for ends soon")

    def still(self, grants: GrantQuerySet[Grant], reader: User) -> GrantQuerySet[Grant]:
        return grants.not_over().filter(owner=reader)

    def title(self, message: OutboxMessage, subject: Grant) -> str:
        places = _places(subject) | {"date": day_and_year(subject.valid_until)}
        if subject.valid_until > now():
            return _("Access to %(model)s in %(project)s ends on %(date)s") % places
        return _("Access to %(model)s in %(project)s ended on %(date)s") % places

    def lines(self, message: OutboxMessage, subject: Grant) -> Sequence[str]:
        return [_("Its page has a button that renews it. Without that, calls are refused from then on.")]


GRANTS_SUSPENDED: Final = declare(GrantsSuspended())
GRANT_REVOKED: Final = declare(GrantRevoked())
GRANT_ENDS: Final = declare(GrantEnds())


def tell_of_suspended(grant: Grant) -> None:
    """Tell owners and admins of the tenant that grants of the same owner, such as this one, are suspended."""
    occasion = grant.suspended_at.isoformat() if grant.suspended_at else ""
    people = [one for one in managers_of(grant.tenant)[: MOST_TOLD + 1] if one.pk != grant.owner_id]
    tell(GRANTS_SUSPENDED, people[:MOST_TOLD], subject=grant, tenant=grant.tenant, occasion=occasion)


def tell_of_revoked(grant: Grant, *, by: User | None) -> None:
    """Tell the owner of a revoked grant, and whoever holds the key that it gave the model to, unless they did it."""
    holder = ApiKey.objects.in_tenant(grant.tenant).filter(request_items=grant.item_id).values("owner")
    people = User.objects.filter(Q(pk=grant.owner_id) | Q(pk__in=holder), is_active=True, service_of=None)
    if by is not None:
        people = people.exclude(pk=by.pk)
    tell(GRANT_REVOKED, people, subject=grant, tenant=grant.tenant)


def managers_of(tenant: Tenant) -> QuerySet[User]:
    """Active people who manage the members of a tenant, in a stable order."""
    roles = roles_with("manage_members")
    people = User.objects.filter(memberships__tenant=tenant, memberships__role__in=roles)
    return people.filter(is_active=True, service_of=None).order_by("pk")


def _places(grant: Grant) -> dict[str, str]:
    return {"model": grant.model.title, "project": quoted(grant.project.name)}
