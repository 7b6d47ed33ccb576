"""Roles that follow from groups: what the mappings give a person, and how it is applied.

A person's groups are the ones that their provider named last and the ones that the directory lists them in. If several
mappings apply to one tenant, the strongest role wins, in the order of `Role`. A mapping takes away only what a mapping
gave: memberships and staff roles given by a person stay as they are. A mapping never raises its author's role, neither
when it begins nor when the author joins its group later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Q
from django.utils.timezone import now

import audit
from accounts.models import Source, StaffRoleAssignment, User
from audit.models import AuditEntry
from core.scope import platform_scope
from directory.models import DirectoryGroup, FederatedIdentity, GroupMapping
from tenants.actions.members import end_membership, place_member, withdraw_open_invitations
from tenants.models import ApiKey, Membership, Tenant
from tenants.revision import raise_revision
from tenants.roles import Role
from tenants.signals import projects_that_follow
from tenants.suspension import HOLDERS, follow_issuer, follow_role, restore_access, suspend_access

log = structlog.get_logger(__name__)

LAST_OWNER = "last_owner"
# People checked in one round of queries.
BATCH = 500
STRENGTH = {role: strength for strength, role in enumerate(reversed(Role.values))}


@dataclass(frozen=True)
class Change:
    """What the mappings change for one person: their role in a tenant, or a staff role when there is no tenant.

    `kept` is the reason why nothing changes although the mappings say otherwise: a person gave the role
    (Source.PERSON), or the member is the LAST_OWNER.
    """

    person: User
    tenant: Tenant | None
    before: str  # empty: no role
    after: str
    kept: str = ""

    @property
    def is_loss(self) -> bool:
        """Whether the person can do less afterwards."""
        return not self.kept and (
            not self.after or bool(self.before and STRENGTH.get(self.after, 0) < STRENGTH.get(self.before, 0))
        )


def changes_for(people: Iterable[UUID], mappings: Iterable[GroupMapping]) -> list[Change]:
    """What `mappings` alone would change for these people, sorted by e-mail address, in a fixed number of queries.

    Closed tenants and service accounts stay as they are.
    """
    persons = User.objects.filter(pk__in=list(people), service_of=None).in_bulk()
    groups = groups_of(persons)
    mappings = list(mappings)
    tenants = {mapping.tenant.pk: mapping.tenant for mapping in mappings if mapping.tenant}
    roles: dict[UUID, dict[UUID, Membership]] = defaultdict(dict)
    for membership in Membership.objects.across_tenants().filter(user__in=persons).select_related("tenant"):
        roles[membership.user_id][membership.tenant_id] = membership
        tenants[membership.tenant_id] = membership.tenant
    staff: dict[UUID, dict[str, str]] = defaultdict(dict)
    for person_id, role, source in StaffRoleAssignment.objects.filter(user__in=persons).values_list(
        "user", "role", "source"
    ):
        staff[person_id][role] = source
    changes: list[Change] = []
    for person in sorted(persons.values(), key=lambda person: person.email):
        given, staff_given = what_mappings_give(groups[person.pk], mappings)
        by_others, staff_by_others = what_mappings_give(
            groups[person.pk], [mapping for mapping in mappings if mapping.created_by_id != person.pk]
        )
        for tenant_id, membership in roles[person.pk].items():
            by_others[tenant_id] = _stronger(membership.role, by_others.get(tenant_id, ""))
        given = {pk: _weaker(role, by_others.get(pk, "")) for pk, role in given.items()}
        changes += _changes_of_roles(person, roles[person.pk], given, tenants)
        staff_given &= staff_by_others | staff[person.pk].keys()
        changes += _changes_of_staff(person, staff[person.pk], staff_given)
    return changes


def _stronger(one: str, other: str) -> str:
    return max(one, other, key=lambda role: STRENGTH.get(role, -1))


def _weaker(one: str, other: str) -> str:
    return min(one, other, key=lambda role: STRENGTH.get(role, -1))


def _changes_of_roles(
    person: User, held: dict[UUID, Membership], given: dict[UUID, str], tenants: dict[UUID, Tenant]
) -> Iterator[Change]:
    for tenant_id in sorted(given.keys() | held.keys()):
        membership, after = held.get(tenant_id), given.get(tenant_id, "")
        before = membership.role if membership else ""
        if tenants[tenant_id].status == Tenant.Status.CLOSED or before == after:
            continue
        if membership is None or membership.source == Source.GROUP:
            yield Change(person, tenants[tenant_id], before, after)
        elif after:
            yield Change(person, tenants[tenant_id], before, before, kept=Source.PERSON)


def _changes_of_staff(person: User, held: dict[str, str], given: frozenset[str]) -> Iterator[Change]:
    for role in sorted(given | held.keys()):
        if role not in held:
            yield Change(person, None, "", role)
        elif role not in given and held[role] == Source.GROUP:
            yield Change(person, None, role, "")


def what_mappings_give(
    groups: Iterable[str], mappings: Iterable[GroupMapping]
) -> tuple[dict[UUID, str], frozenset[str]]:
    """What `mappings` give to a member of `groups`: the strongest role in each tenant, and staff roles."""
    groups = set(groups)
    roles: dict[UUID, str] = {}
    staff = set()
    for mapping in mappings:
        if mapping.group not in groups:
            continue
        if mapping.tenant_id is None:
            staff.add(mapping.staff_role)
        elif STRENGTH[mapping.role] > STRENGTH.get(roles.get(mapping.tenant_id, ""), -1):
            roles[mapping.tenant_id] = mapping.role
    return roles, frozenset(staff)


def mappings_for(people: Iterable[UUID]) -> list[GroupMapping]:
    """The mappings in force that give these people anything."""
    names = set().union(*groups_of(people).values())
    return list(GroupMapping.objects.in_force().filter(group__in=names).select_related("tenant"))


def groups_of(people: Iterable[UUID]) -> dict[UUID, set[str]]:
    """The names of each person's groups, from the directory and from the provider.

    Groups from an earlier provider (another OIDC_ISSUER) do not count, because nobody could revoke them.
    """
    people = list(people)
    groups: dict[UUID, set[str]] = defaultdict(set)
    identities = FederatedIdentity.objects.filter(user__in=people, issuer=settings.OIDC_ISSUER)
    for person, names in identities.values_list("user", "groups"):
        groups[person].update(names)
    listed = DirectoryGroup.members.through.objects.filter(user__in=people)
    for person, name in listed.values_list("user", "directorygroup__display_name"):
        groups[person].add(name)
    return groups


def people_concerned(*mappings: GroupMapping) -> list[UUID]:
    """Sorted ids of the people in the groups of these mappings, and of those who hold by mapping what they give."""
    people: set[UUID] = set()
    for mapping in mappings:
        in_group = FederatedIdentity.objects.filter(groups__contains=[mapping.group])
        listed = DirectoryGroup.members.through.objects.filter(directorygroup__display_name=mapping.group)
        held: Any = (
            Membership.objects.across_tenants().filter(tenant=mapping.tenant_id, source=Source.GROUP)
            if mapping.tenant_id
            else StaffRoleAssignment.objects.filter(role=mapping.staff_role, source=Source.GROUP)
        )
        for rows in (in_group, listed, held):
            people.update(rows.values_list("user", flat=True))
    return sorted(people)


def preview(*, beginning: GroupMapping | None = None, ending: GroupMapping | None = None) -> list[Change]:
    """What would change, and for whom, if the unsaved mapping `beginning` began and `ending` ended now.

    The list includes what stays although the mappings say otherwise: roles given by a person, and the last owner.
    """
    touched = [mapping for mapping in (beginning, ending) if mapping]
    places = {(mapping.tenant_id, mapping.staff_role) for mapping in touched}
    with platform_scope("group mappings: a preview concerns people of any tenant"):
        people = people_concerned(*touched)
        mappings = [mapping for mapping in mappings_for(people) if ending is None or mapping.pk != ending.pk]
        changes = [
            change
            for change in changes_for(people, [*mappings, beginning] if beginning else mappings)
            if ((change.tenant.pk, "") if change.tenant else (None, change.after or change.before)) in places
        ]
        return _with_last_owners(changes)


def _with_last_owners(changes: list[Change]) -> list[Change]:
    """Mark the loss that would leave a tenant without an owner: the last owner in the list stays."""
    leaving: dict[UUID, list[Change]] = defaultdict(list)
    for change in changes:
        if change.tenant and change.before == Role.OWNER and not change.kept:
            leaving[change.tenant.pk].append(change)
    for tenant_id, losses in leaving.items():
        owners = Membership.objects.across_tenants().filter(
            tenant=tenant_id, role=Role.OWNER, user__is_active=True, user__service_of=None
        )
        if not owners.exclude(user__in=[loss.person for loss in losses]).exists():
            place = changes.index(losses[-1])
            changes[place] = replace(losses[-1], after=Role.OWNER, kept=LAST_OWNER)
    return changes


def apply_group_mappings(user: User, *, reason: str) -> None:
    """Update the mapping-given roles of `user` to the current mappings, in one transaction. Safe to repeat.

    Keys and tokens that depended on a lost role are suspended: the ones in the tenant, or all of them when the person
    has no role left. They are restored when the role comes back. The last owner of a tenant stays its owner, because
    a tenant needs one; an audit entry and a warning in the log say so. `reason` goes into the audit entries.
    """
    with platform_scope("group mappings: a person's groups give roles in any tenant"), transaction.atomic():
        if not (foreseen := _due(user)):
            return
        # Lock order: tenants, person, rows, revision. Every change of a tenant's members locks the tenant.
        tenants = {change.tenant.pk for change in foreseen if change.tenant}
        list(Tenant.objects.select_for_update(no_key=True).filter(pk__in=tenants).order_by("pk"))
        list(User.objects.select_for_update(no_key=True).filter(pk=user.pk))
        done = [
            change
            for change in _due(user)
            if (change.tenant is None or change.tenant.pk in tenants) and _make(change, reason)
        ]
        _suspend_and_restore(user, done, reason)


def apply_group_mapping(mapping: GroupMapping, *, reason: str) -> None:
    """Apply a mapping that began or ended to everyone it concerns, 500 people at a time. Safe to repeat.

    Each person has a transaction of their own: an interruption leaves nobody half changed, and a failure holds up
    nobody else. Afterwards the mapping is marked as applied, or deleted if it had ended. If anyone failed, it stays
    as it is and the schedule repeats it.
    """
    failed = False
    with platform_scope("group mappings: one concerns members of any tenant"):
        people = people_concerned(mapping)
        for start in range(0, len(people), BATCH):
            batch = people[start : start + BATCH]
            for change in changes_for(batch, mappings_for(batch)):
                if not change.kept:
                    failed |= not try_to_apply(change.person, reason=reason)
        if failed:
            return
        if mapping.ended_at:
            GroupMapping.objects.filter(pk=mapping.pk).delete()
        else:
            GroupMapping.objects.filter(pk=mapping.pk).update(applied_at=now())


def try_to_apply(person: User, *, reason: str) -> bool:
    """Run `apply_group_mappings` for one of many; return whether it succeeded. A task whose time is up stops here."""
    try:
        apply_group_mappings(person, reason=reason)
    except SoftTimeLimitExceeded:
        raise
    except Exception:
        log.exception("group_mappings.failed", person=str(person.pk))
        return False
    return True


def _due(user: User) -> list[Change]:
    return [change for change in changes_for([user.pk], mappings_for([user.pk])) if not change.kept]


def _make(change: Change, reason: str) -> bool:
    """Make one change; return whether it happened."""
    if change.tenant is None:
        _change_staff(change, reason)
        return True
    return _change_member(change.person, change.tenant, change, reason)


def _change_member(person: User, tenant: Tenant, change: Change, reason: str) -> bool:
    membership = (
        Membership.objects.in_tenant(tenant).select_related("tenant", "user").filter(user=person).first()
    )
    if membership and change.before == Role.OWNER and not _has_another_owner(membership):
        _say_that_the_last_owner_stays(membership, reason)
        return False
    if change.after:
        place_member(
            tenant, person, change.after, existing=membership, source=Source.GROUP, actor=None, reason=reason
        )
    elif membership:
        withdraw_open_invitations(tenant, Q(invited_by=person), actor=None)
        audit.record(
            "membership.removed",
            actor=None,
            subject=membership,
            user=person.email,
            reason=reason,
            changes={"role": (membership.role, None)},
        )
        end_membership(membership)
    return True


def _change_staff(change: Change, reason: str) -> None:
    person, role = change.person, change.after or change.before
    if change.after:
        StaffRoleAssignment.objects.create(user=person, role=role, source=Source.GROUP)
        person.groups.add(Group.objects.get(name=role))
        person.is_staff = True
    else:
        StaffRoleAssignment.objects.filter(user=person, role=role, source=Source.GROUP).delete()
        person.groups.remove(Group.objects.get(name=role))
        person.is_staff = person.is_superuser or person.staff_role_assignments.exists()
    person.save(update_fields=["is_staff"])
    verb = "staff_role.given" if change.after else "staff_role.taken"
    audit.record(verb, actor=None, subject=person, role=role, source=Source.GROUP, reason=reason)


def _has_another_owner(membership: Membership) -> bool:
    owners = Membership.objects.in_tenant(membership.tenant).filter(
        role=Role.OWNER, user__is_active=True, user__service_of=None
    )
    return bool(owners.exclude(pk=membership.pk).exists())


def _say_that_the_last_owner_stays(membership: Membership, reason: str) -> None:
    """Record it once for each membership, because a check every few minutes would fill the audit log."""
    verb = "membership.last_owner_kept"
    log.warning(verb, tenant=str(membership.tenant_id), user=str(membership.user_id), reason=reason)
    said = AuditEntry.objects.in_tenant(membership.tenant).filter(
        subject_type="tenants.membership", subject_id=str(membership.pk), verb=verb
    )
    if not said.exists():
        audit.record(verb, actor=None, subject=membership, user=membership.user.email, reason=reason)


def _suspend_and_restore(user: User, done: list[Change], reason: str) -> None:
    if any(change.is_loss for change in done) and not (
        user.memberships.exists() or user.staff_role_assignments.exists() or user.is_superuser
    ):
        suspend_access(user, tenant=None, reason=reason, by=None)
        return
    # In all tenants at once, because each row is locked before the revision.
    projects = projects_that_follow(user, tenant=None, by=None)
    keys = ApiKey.objects.across_tenants().filter(owner=user)
    list(keys.select_for_update(of=("self",)).order_by("pk"))  # all before the revision
    if any(not change.is_loss for change in done):
        restore_access(user, tenant=None, by=None)
    follow_issuer(user, reason=reason, by=None)
    for change in done:
        # The person's roles in the tenant's projects are gone too.
        if change.tenant and not change.after:
            suspend_access(user, tenant=change.tenant, reason=reason, by=None)
        elif change.tenant:
            was_holder = change.before in HOLDERS
            follow_role(user, change.tenant, was_holder=was_holder, reason=reason, by=None)
    if projects:
        raise_revision(projects=projects)
