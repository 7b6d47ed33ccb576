"""What owners of tenants are told of planned changes of the models that their projects use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.mail import quoted
from accounts.models import OutboxMessage, User
from accounts.outbox.events import Event, declare
from accounts.outbox.posting import tell
from catalog.models import CatalogModel, Grant, PlannedChange, PlannedChangeOfModel
from catalog.planned_words import what_changes
from core.dates import moment
from core.joined import listed
from tenants.models import Membership, Tenant
from tenants.roles import Role

Kind = PlannedChange.Kind
BOTH: Final = (OutboxMessage.Channel.MAIL, OutboxMessage.Channel.INBOX)
# Models that a sentence names.
NAMED: Final = 3


@dataclass(frozen=True)
class ToldChange:
    """A change as the owners of one tenant read it: only models that its projects have or had access to."""

    change: PlannedChange
    tenant: Tenant
    models: Sequence[CatalogModel]

    @property
    def names(self) -> str:
        """The models in words."""
        titles = [model.title for model in self.models]
        if len(titles) <= NAMED:
            return listed(titles)
        others = len(titles) - NAMED
        words = ngettext("%(names)s and %(count)s more", "%(names)s and %(count)s more", others)
        return words % {"names": listed(titles[:NAMED]), "count": others}


class ChangeEvent(Event):
    """Something became of a planned change; the owners of tenants that use its models are told."""

    channels = BOTH
    titles: ClassVar[Mapping[str, Any]]

    def find(self, messages: Sequence[OutboxMessage]) -> Mapping[UUID, ToldChange]:
        """For those who still own the tenant. Four queries."""
        owned = {one.of_tenant_id for one in messages}
        memberships = Membership.objects.across_tenants().filter(
            tenant__in=owned, user=messages[0].user_id, role=Role.OWNER
        )
        tenants = {one.tenant_id: one.tenant for one in memberships.select_related("tenant")}
        changes = PlannedChange.objects.in_bulk([one.subject_id for one in messages])
        used = _used(changes, tenants)
        return {
            one.pk: ToldChange(changes[one.subject_id], tenants[one.of_tenant_id], models)
            for one in messages
            if one.of_tenant_id in tenants and (models := used.get((one.subject_id, one.of_tenant_id)))
        }

    def concerns(self, user: User) -> bool:
        return Membership.objects.across_tenants().filter(user=user, role=Role.OWNER).exists()

    def title(self, message: OutboxMessage, subject: ToldChange) -> str:
        return str(self.titles[subject.change.kind]) % {
            "models": subject.names,
            "when": moment(subject.change.takes_effect_at),
        }

    def lines(self, message: OutboxMessage, subject: ToldChange) -> Sequence[str]:
        lines = what_changes(subject.change, CatalogModel.objects.offered_to([subject.tenant]))
        if subject.change.reason:
            lines.append(_("Reason: %(reason)s") % {"reason": quoted(subject.change.reason)})
        return lines

    def path(self, message: OutboxMessage, subject: ToldChange) -> str:
        first = subject.models[0]
        if len(subject.models) == 1 and first.is_offered_to(subject.tenant):
            return reverse("model-detail", kwargs={"tenant": subject.tenant.slug, "name": first.name})
        return reverse("model-list", kwargs={"tenant": subject.tenant.slug})


class ChangePlanned(ChangeEvent):
    name = "planned_change.planned"
    label = gettext_lazy("A model that your projects use is going to change")
    titles: ClassVar = {
        Kind.EDIT: gettext_lazy("%(models)s: changes on %(when)s"),
        Kind.DEPRECATE: gettext_lazy("%(models)s: deprecated from %(when)s"),
        Kind.RETIRE: gettext_lazy("%(models)s: retired from %(when)s"),
    }


class ChangeUndone(ChangeEvent):
    name = "planned_change.undone"
    label = gettext_lazy("A planned change of a model was undone")
    titles: ClassVar = dict.fromkeys(
        Kind, gettext_lazy("%(models)s: stays as it is, the change planned for %(when)s was undone")
    )

    def lines(self, message: OutboxMessage, subject: ToldChange) -> Sequence[str]:
        return []


class ChangeInEffect(ChangeEvent):
    name = "planned_change.in_effect"
    label = gettext_lazy("A model that your projects use has changed")
    titles: ClassVar = {
        Kind.EDIT: gettext_lazy("%(models)s: changed on %(when)s"),
        Kind.DEPRECATE: gettext_lazy("%(models)s: deprecated since %(when)s"),
        Kind.RETIRE: gettext_lazy("%(models)s: retired since %(when)s"),
    }


EVENTS: Final[Mapping[str, Event]] = {
    PlannedChange.State.PLANNED: declare(ChangePlanned()),
    PlannedChange.State.UNDONE: declare(ChangeUndone()),
    PlannedChange.State.IN_EFFECT: declare(ChangeInEffect()),
}


def tell_owners(change: PlannedChange) -> None:
    """Tell the owners of tenants whose projects may call its models now. Safe to repeat.

    One statement for each tenant besides one query. Nobody is told of a change that failed: tenants notice nothing.
    """
    event = EVENTS.get(change.state)
    if event is None:
        return
    grants = Grant.objects.across_tenants().in_force().filter(model__in=change.of_models.values("model"))
    owners: dict[Tenant, list[User]] = defaultdict(list)
    memberships = Membership.objects.across_tenants().filter(
        tenant__in=grants.order_by().values("tenant"), role=Role.OWNER, user__is_active=True
    )
    for one in memberships.select_related("tenant", "user").order_by("tenant", "user"):
        owners[one.tenant].append(one.user)
    for tenant, people in owners.items():
        # Whoever owns two of these tenants is told for each.
        tell(event, people, subject=change, tenant=tenant, occasion=str(tenant.pk))


def _used(
    changes: Mapping[UUID, PlannedChange], tenants: Mapping[UUID, Tenant]
) -> dict[tuple[UUID, UUID], list[CatalogModel]]:
    """By change and tenant, the models of the change that projects of the tenant use or used. Two queries."""
    links = PlannedChangeOfModel.objects.filter(change__in=changes)
    grants = Grant.objects.across_tenants().filter(tenant__in=tenants, model__in=links.values("model"))
    by_model: dict[UUID, set[UUID]] = defaultdict(set)
    for tenant, model in grants.order_by().values_list("tenant", "model").distinct():
        by_model[model].add(tenant)
    found: dict[tuple[UUID, UUID], list[CatalogModel]] = defaultdict(list)
    for link in links.filter(model__in=by_model).select_related("model").order_by("model__title"):
        for tenant in by_model[link.model_id]:
            found[link.change_id, tenant].append(link.model)
    return found
