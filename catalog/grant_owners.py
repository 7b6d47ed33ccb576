"""Who answers for a grant: at first whoever asked for it, later whoever takes it over.

The owner of a grant may request access in its project. Whenever a person's rights change, the grants that they may no
longer answer for are suspended, and those that they may answer for again are resumed. `catalog_may_own_grant` decides
it, here and in the trigger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import BooleanField, Func
from django.utils.timezone import now

import audit
from accounts.models import User
from accounts.people import lock_person
from catalog.grant_notices import tell_of_suspended
from catalog.models import Grant
from tenants.models import Project, Tenant
from tenants.revision import raise_revision

# Of a row of grants: whether its owner may answer for it now.
OWNER_MAY: Final = Func(
    "owner_id", "project_id", function="catalog_may_own_grant", output_field=BooleanField()
)
PEOPLE_AT_ONCE: Final = 500

_LEFT: Final = """
    SELECT DISTINCT g.owner_id FROM (
        SELECT DISTINCT owner_id, project_id FROM catalog_grant
         WHERE revoked_at IS NULL AND suspended_at IS NULL AND owner_id IS NOT NULL
           AND valid_until > statement_timestamp()) g
     WHERE NOT catalog_may_own_grant(g.owner_id, g.project_id) LIMIT %s
"""


# Who asked, who answers for the service account that did, and the owners of grants that are to be renewed.
_HELD: Final = """
    SELECT id FROM accounts_user WHERE id IN (
        SELECT q.requested_by_id FROM catalog_accessrequest q WHERE q.id = %(pk)s
        UNION SELECT a.responsible_id FROM catalog_accessrequest q JOIN accounts_user a ON a.id = q.requested_by_id
               WHERE q.id = %(pk)s
        UNION SELECT g.owner_id FROM catalog_requestitem i JOIN catalog_grant g ON g.id = i.renews_id
               WHERE i.access_request_id = %(pk)s)
     ORDER BY id FOR SHARE
"""


def hold_owners_to_be(access_request_id: UUID) -> None:
    """Let the people who may become owners of this request's grants keep their access until commit.

    Otherwise they could be deactivated at the same moment, and own a grant that is not suspended. Call it before the
    request is locked: whoever removes a person locks them before their requests and grants.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HELD, {"pk": access_request_id})


def may_own(person: User, project: Project) -> bool:
    """Whether a person may answer for grants of a project: a member who may request access there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT catalog_may_own_grant(%s, %s)", [person.pk, project.pk])
        return bool(cursor.fetchone()[0])


def first_owner(requester: User, project: Project) -> UUID | None:
    """The id of the first owner of a new grant; None if nobody may answer for it.

    Who asked, or answers for the service account that asked; else the project's owner; else an owner of the tenant.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT catalog_first_owner(%s, %s)", [requester.pk, project.pk])
        owner: UUID | None = cursor.fetchone()[0]
    return owner


def follow_rights(
    sender: Any,
    *,
    user: User,
    tenant: Tenant | None = None,
    project: Project | None = None,
    by: User | None,
    **kwargs: Any,
) -> set[UUID]:
    """Receive tenants.signals.rights_changed: suspend or resume the grants of `user`, by what they may do now.

    Owners and admins are told of what is suspended. Returns the projects that change; the caller raises the revision.
    Safe to repeat.

    Args:
        sender: the sender of the signal.
        user: the locked person.
        tenant: only in this tenant.
        project: only in this project.
        by: who changed their rights; None means the platform.
        kwargs: what else the signal says.
    """
    grants = Grant.objects.across_tenants().not_over().filter(owner=user)
    if tenant is not None:
        grants = grants.in_tenant(tenant)
    if project is not None:
        grants = grants.filter(project=project)
    rows = list(
        grants.annotate(owner_may=OWNER_MAY)
        .select_related("tenant", "project", "model")
        .select_for_update(of=("self",))
        .order_by("pk")
    )
    lost = [one for one in rows if not one.owner_may and one.suspended_at is None]
    back = [one for one in rows if one.owner_may and one.suspended_at is not None]
    suspend_locked(lost, actor=by)
    for grant in back:
        resume_locked(grant, actor=by)
    return {one.project_id for one in lost + back}


def suspend_locked(grants: Sequence[Grant], *, actor: User | None) -> None:
    """Suspend grants of one owner that the caller has locked, and tell owners and admins of each tenant once.

    The caller raises the revision.
    """
    moment = now()
    tenants = {}
    for grant in grants:
        grant.suspended_at = moment
        grant.save(update_fields=["suspended_at"])
        audit.record("grant.suspended", actor=actor, subject=grant, model=grant.model.name)
        tenants[grant.tenant_id] = grant
    for grant in tenants.values():
        tell_of_suspended(grant)


def resume_locked(grant: Grant, *, actor: User | None) -> None:
    """Resume a suspended grant that the caller has locked. The caller raises the revision."""
    grant.suspended_at = None
    grant.save(update_fields=["suspended_at"])
    audit.record("grant.resumed", actor=actor, subject=grant, model=grant.model.name)


def hand_over_locked(grant: Grant, former: User | None, to: User, *, actor: User | None) -> None:
    """Make `to` the owner of a grant that the caller has locked; resume it if it is suspended, then raise the revision.

    Args:
        grant: the grant.
        former: who answered for it, if anybody did.
        to: a person who may request access in its project; a trigger rejects others.
        actor: who does it.
    """
    grant.owner, grant.end_told_at = to, None
    is_suspended = grant.suspended_at is not None
    grant.suspended_at = None
    grant.save(update_fields=["owner", "end_told_at", "suspended_at"])
    changes = {"owner": (former.email if former else None, to.email)}
    audit.record("grant.handed_over", actor=actor, subject=grant, model=grant.model.name, changes=changes)
    if is_suspended:
        audit.record("grant.resumed", actor=actor, subject=grant, model=grant.model.name)


def suspend_the_ownerless() -> int:
    """Suspend grants whose owners lost their right in a way that nothing followed, and return for how many people.

    Actions that take a right away suspend at once; this is for changes past them, such as by SQL. Safe to repeat.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, [PEOPLE_AT_ONCE])
        people = [pk for (pk,) in cursor.fetchall()]
    return sum(1 for user in User.objects.filter(pk__in=people).order_by("pk") if _follow_alone(user))


@transaction.atomic
def _follow_alone(user: User) -> bool:
    lock_person(user)
    projects = follow_rights(None, user=user, by=None)
    if projects:
        raise_revision(projects=projects)
    return bool(projects)
