"""What a person owns in a tenant, and what happens to it when they leave: it is transferred or ended.

An app above registers its own kind in its AppConfig.ready (`register`), so nothing here imports that app.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.people import lock_people, lock_person
from accounts.permissions import require
from core.ids import is_uuid
from tenants.models import ApiKey, Membership, Tenant
from tenants.revision import raise_revision

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

R = TypeVar("R", bound=Model)

# The choice to revoke, withdraw or release.
END: Final = "end"
# END, or the id of the new owner's membership.
Choice = str
# Rows of a kind that a page lists.
SHOWN = 20


@dataclass(frozen=True)
class OwnedResource:
    """One thing that a person owns, in words."""

    label: str
    note: str = ""


@dataclass(frozen=True)
class OwnedResources:
    """All things of one kind that a person owns in a tenant: the first of them, and their number."""

    kind: str
    label: str
    count: int
    rows: list[OwnedResource]
    can_hand_over: bool
    # What END does to them, as a choice on a page.
    end_label: str


class OwnedKind(ABC, Generic[R]):
    """One kind of owned resources: its rows, and how a row is transferred or ended.

    Every change is recorded, row by row. The transaction has locked the tenant and the people.
    """

    kind: ClassVar[str]
    label: ClassVar[StrPromise]
    # What END does to them, as a choice on a page.
    end_label: ClassVar[StrPromise]
    can_hand_over: ClassVar[bool] = True
    # If true, its rows are locked last and the revision is raised once.
    reaches_gateways: ClassVar[bool] = False
    shown_order: ClassVar[str] = "-pk"

    @abstractmethod
    def rows(self, user: User, tenant: Tenant) -> QuerySet[R]:
        """Return what `user` owns in `tenant`, with what `describe` needs."""

    @abstractmethod
    def describe(self, row: R) -> OwnedResource:
        """Return the row in words."""

    @abstractmethod
    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        """Return why `new_owner`, an active member, cannot take over what `user` owns; empty if they can."""

    @abstractmethod
    def give(self, row: R, user: User, to: User, *, by: User) -> None:
        """Transfer a locked `row` of `user` to `to`; `by` decided it. Raises ValueError if this kind cannot be."""

    @abstractmethod
    def end_row(self, row: R, user: User, *, by: User) -> None:
        """Revoke, withdraw or release a locked row of `user`."""

    def changed_projects(self, user: User, tenant: Tenant) -> set[UUID]:
        """The projects that gateways must read again once these are transferred or ended."""
        return set()

    def find(self, user: User, tenant: Tenant) -> OwnedResources:
        rows = self.rows(user, tenant)
        return OwnedResources(
            kind=self.kind,
            label=str(self.label),
            count=rows.count(),
            rows=[self.describe(row) for row in rows.order_by(self.shown_order)[:SHOWN]],
            can_hand_over=self.can_hand_over,
            end_label=str(self.end_label),
        )

    def hand_over(self, user: User, tenant: Tenant, *, to: User, by: User) -> int:
        """Transfer all that `user` owns of this kind in `tenant` to `to`, and return how many; `by` decided it."""
        rows = self._locked(user, tenant)
        for row in rows:
            self.give(row, user, to, by=by)
        return len(rows)

    def end(self, user: User, tenant: Tenant, *, by: User) -> int:
        """End all of them, and return how many."""
        rows = self._locked(user, tenant)
        for row in rows:
            self.end_row(row, user, by=by)
        return len(rows)

    def _locked(self, user: User, tenant: Tenant) -> list[R]:
        return list(self.rows(user, tenant).select_for_update(of=("self",)).order_by("pk"))


_KINDS: dict[str, OwnedKind[Any]] = {}


def register(kind: OwnedKind[Any]) -> None:
    """Register a kind. Call once for each kind, from AppConfig.ready. Safe to repeat."""
    _KINDS[kind.kind] = kind


def owned_resources_of(user: User, tenant: Tenant) -> list[OwnedResources]:
    """Return what `user` owns in `tenant`, by kind, without kinds of which they own nothing."""
    found = [provider.find(user, tenant) for provider in _KINDS.values()]
    return [kind for kind in found if kind.count]


def require_may_look(by: User, membership: Membership) -> None:
    """Raise PermissionDenied unless `by` is this member or manages members of the tenant."""
    if membership.user_id != by.pk:
        require(by, "tenants.manage_members", membership.tenant)


def transfer(
    user: User, tenant: Tenant, choices: Mapping[str, Choice], *, actor: User
) -> dict[str, dict[str, str | int]]:
    """Transfer or end everything that `user` owns in `tenant`, and return by kind what was done. All or nothing.

    Args:
        user: the departing member.
        tenant: the tenant.
        choices: by kind, the new owner or END.
        actor: who decided it.

    Raises ValidationError by kind if nothing was chosen, it cannot be transferred, or not to this member.
    """
    # Until commit, these people can claim nothing.
    _hold_people(user, tenant, choices)
    owned = owned_resources_of(user, tenant)
    problems: dict[str, str] = {}
    new_owners: dict[str, User] = {}
    for kind in owned:
        choice = choices.get(kind.kind, "")
        if choice == END:
            continue
        try:
            new_owners[kind.kind] = _new_owner(_KINDS[kind.kind], user, tenant, choice)
        except ValidationError as error:
            problems[kind.kind] = error.messages[0]
    if problems:
        raise ValidationError(problems)
    done: dict[str, dict[str, str | int]] = {}
    owned.sort(key=lambda kind: _KINDS[kind.kind].reaches_gateways)
    keys = list(ApiKey.objects.in_tenant(tenant).filter(owner=user).values_list("pk", flat=True))
    projects: set[UUID] = set()
    for kind in owned:
        provider = _KINDS[kind.kind]
        projects |= provider.changed_projects(user, tenant)
        if new_owner := new_owners.get(kind.kind):
            count = provider.hand_over(user, tenant, to=new_owner, by=actor)
            done[kind.kind] = {"handed_over": count, "to": new_owner.email}
        else:
            done[kind.kind] = {"ended": provider.end(user, tenant, by=actor)}
    if projects or any(_KINDS[kind].reaches_gateways for kind in done):
        # The action that ends a service account names the keys of that account.
        raise_revision(keys=keys, projects=projects)
    return done


def _hold_people(user: User, tenant: Tenant, choices: Mapping[str, Choice]) -> None:
    """Lock the departing member and the new owners in one order, so that mutual transfers take turns."""
    chosen = [choice for choice in choices.values() if is_uuid(choice)]
    new_owners = Membership.objects.in_tenant(tenant).filter(pk__in=chosen).values_list("user", flat=True)
    lock_people({user.pk, *new_owners})


def _new_owner(provider: OwnedKind[Any], user: User, tenant: Tenant, choice: Choice) -> User:
    """Return the new owner. Raises ValidationError with what to do instead."""
    if not choice:
        raise ValidationError(_("Choose a new owner for these, or end them."))
    if not provider.can_hand_over:
        raise ValidationError(_("These cannot be transferred."))
    members = Membership.objects.in_tenant(tenant).select_related("user").filter(user__is_active=True)
    try:
        new_owner = members.exclude(user=user).filter(pk=choice).first()
    except (ValidationError, ValueError):
        new_owner = None
    if new_owner is None or not lock_person(new_owner.user):
        raise ValidationError(_("Choose an active member of %(tenant)s.") % {"tenant": tenant})
    if problem := provider.problem_with(new_owner.user, user, tenant):
        raise ValidationError(problem)
    return new_owner.user
