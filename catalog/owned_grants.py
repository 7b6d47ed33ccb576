"""Grants for which a departing member answers: somebody else takes over, or they are suspended until somebody does."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from catalog.grant_owners import hand_over_locked, may_own, suspend_locked
from catalog.models import Grant
from core.dates import day_and_year
from tenants.actions.owned_resources import OwnedKind, OwnedResource
from tenants.models import Project, Tenant


class OwnedGrants(OwnedKind[Grant]):
    """Grants that are not over. Ending them means suspending them: the project keeps them for a new owner."""

    kind = "grants"
    label = gettext_lazy("Access to models that they answer for")
    end_label = gettext_lazy("Suspend it until somebody takes it over")

    def rows(self, user: User, tenant: Tenant) -> QuerySet[Grant]:
        grants = Grant.objects.in_tenant(tenant).not_over().filter(owner=user)
        return grants.select_related("tenant", "project", "model")

    def describe(self, row: Grant) -> OwnedResource:
        until = _("until %(date)s") % {"date": day_and_year(row.valid_until)}
        return OwnedResource(row.model.title, f"{row.project.name}, {until}")

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        projects = Project.objects.in_tenant(tenant).filter(
            pk__in=self.rows(user, tenant).order_by().values("project")
        )
        for project in projects:
            if not may_own(new_owner, project):
                return _("%(who)s may not request access in %(project)s, so they cannot answer for it.") % {
                    "who": new_owner,
                    "project": project.name,
                }
        return ""

    def give(self, row: Grant, user: User, to: User, *, by: User) -> None:
        hand_over_locked(row, user, to, actor=by)

    def end(self, user: User, tenant: Tenant, *, by: User) -> int:
        rows = [row for row in self._locked(user, tenant) if row.suspended_at is None]
        suspend_locked(rows, actor=by)
        return len(rows)

    def end_row(self, row: Grant, user: User, *, by: User) -> None:
        suspend_locked([row], actor=by)

    def changed_projects(self, user: User, tenant: Tenant) -> set[UUID]:
        return set(self.rows(user, tenant).order_by().values_list("project_id", flat=True))
