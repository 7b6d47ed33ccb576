"""The kinds of owned resources that tenants themselves know: keys, tokens, projects, service accounts."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.models import User
from core.tenant_managers import Row
from tenants.actions.keys import hand_over_key, stop_key
from tenants.actions.owned_resources import SHOWN, OwnedResource, OwnedResources
from tenants.actions.tokens import stop_token
from tenants.models import ApiKey, PersonalAccessToken, Project, Tenant


class Keys:
    """Keys that somebody answers for, in use or waiting. Handed over they go on working; ended they are revoked."""

    kind = "keys"
    can_hand_over = True
    reaches_gateways = True

    def find(self, user: User, tenant: Tenant) -> OwnedResources:
        rows = self._rows(user, tenant)
        shown = [
            OwnedResource(key.name, f"{key.project.name} · {key.get_state_display()}")
            for key in rows.select_related("project").order_by("-pk")[:SHOWN]
        ]
        return OwnedResources(
            self.kind, _("Keys"), rows.count(), shown, True, _("Revoke them: gateways refuse calls")
        )

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        used = self._rows(user, tenant).values("project")
        for project in Project.objects.in_tenant(tenant).filter(pk__in=used).order_by("name"):
            if not new_owner.has_perm("tenants.claim_key", project):
                words = {"who": new_owner, "project": project}
                return (
                    _("%(who)s may not hold keys of %(project)s. Choose someone whose role allows it.")
                    % words
                )
        return ""

    def hand_over(self, user: User, tenant: Tenant, *, to: User, by: User) -> int:
        keys = list(_locked(self._rows(user, tenant)))
        for key in keys:
            hand_over_key(key, user.email, to, actor=by)
        return len(keys)

    def end(self, user: User, tenant: Tenant, *, by: User) -> int:
        keys = list(_locked(self._rows(user, tenant)))
        for key in keys:
            stop_key(key, actor=by, reason=f"{user.email} was removed")
        return len(keys)

    def _rows(self, user: User, tenant: Tenant) -> QuerySet[ApiKey]:
        return ApiKey.objects.in_tenant(tenant).current().filter(owner=user)


class Tokens:
    """Personal access tokens bound to this tenant. They speak as their person, so nobody takes them over."""

    kind = "tokens"
    can_hand_over = False
    reaches_gateways = False

    def find(self, user: User, tenant: Tenant) -> OwnedResources:
        rows = self._rows(user, tenant)
        shown = [OwnedResource(token.name, f"{token.prefix}…") for token in rows.order_by("-pk")[:SHOWN]]
        return OwnedResources(
            self.kind, _("Personal access tokens"), rows.count(), shown, False, _("Revoke them")
        )

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        return _("A personal access token acts for its person.")

    def hand_over(self, user: User, tenant: Tenant, *, to: User, by: User) -> int:
        raise ValueError("A personal access token acts for its person; it cannot be transferred.")

    def end(self, user: User, tenant: Tenant, *, by: User) -> int:
        tokens = list(_locked(self._rows(user, tenant)))
        for token in tokens:
            stop_token(token, actor=by)
        return len(tokens)

    def _rows(self, user: User, tenant: Tenant) -> QuerySet[PersonalAccessToken]:
        return PersonalAccessToken.objects.with_names().filter(
            user=user, tenant=tenant, revoked_at=None, expires_at__gt=now()
        )


class Projects:
    """Projects that somebody is named the owner of; without one they go on, but nobody answers for them."""

    kind = "projects"
    can_hand_over = True
    reaches_gateways = False

    def find(self, user: User, tenant: Tenant) -> OwnedResources:
        rows = self._rows(user, tenant)
        shown = [OwnedResource(project.name, project.slug) for project in rows.order_by("name")[:SHOWN]]
        return OwnedResources(
            self.kind, _("Projects"), rows.count(), shown, True, _("Leave them without a named owner")
        )

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        return _problem_with_person(new_owner)

    def hand_over(self, user: User, tenant: Tenant, *, to: User, by: User) -> int:
        return self._set(user, tenant, to, by)

    def end(self, user: User, tenant: Tenant, *, by: User) -> int:
        return self._set(user, tenant, None, by)

    def _set(self, user: User, tenant: Tenant, owner: User | None, by: User) -> int:
        projects = list(_locked(self._rows(user, tenant)))
        for project in projects:
            project.owner = owner
            project.save(update_fields=["owner"])
            change = (user.email, owner.email if owner else None)
            audit.record("project.owner_changed", actor=by, subject=project, changes={"owner": change})
        return len(projects)

    def _rows(self, user: User, tenant: Tenant) -> QuerySet[Project]:
        return Project.objects.in_tenant(tenant).filter(owner=user)


class ServiceAccounts:
    """Service accounts that somebody answers for. Ended they are disabled: their tokens and keys stop."""

    kind = "service_accounts"
    can_hand_over = True
    reaches_gateways = True

    def find(self, user: User, tenant: Tenant) -> OwnedResources:
        rows = self._rows(user, tenant)
        shown = [OwnedResource(account.name, account.email) for account in rows.order_by("email")[:SHOWN]]
        return OwnedResources(
            self.kind,
            _("Service accounts"),
            rows.count(),
            shown,
            True,
            _("Disable them: their keys and tokens stop"),
        )

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        return _problem_with_person(new_owner)

    def hand_over(self, user: User, tenant: Tenant, *, to: User, by: User) -> int:
        accounts = list(_locked(self._rows(user, tenant)))
        for account in accounts:
            hand_over_account(account, user.email, to, actor=by)
        return len(accounts)

    def end(self, user: User, tenant: Tenant, *, by: User) -> int:
        # Which itself transfers what the account owns.
        from tenants.actions.service_accounts import stop

        accounts = list(_locked(self._rows(user, tenant)))
        list(_locked(ApiKey.objects.in_tenant(tenant).filter(owner__in=accounts)))  # all before the revision
        for account in accounts:
            stop(account, tenant, reason=_("The person who answered for it has left."), actor=by)
        return len(accounts)

    def _rows(self, user: User, tenant: Tenant) -> QuerySet[User]:
        return User.objects.filter(responsible=user, service_of=tenant, is_active=True)


def hand_over_account(account: User, former: str, to: User, *, actor: User | None) -> None:
    """Let `to` answer for a service account that the caller has locked; it goes on working.

    Args:
        account: the service account.
        former: what the audit log calls the person who answered for it: an address, or the pseudonym of the erased.
        to: an active person of the account's tenant, as the caller has made sure.
        actor: who does it; None for the platform.
    """
    account.responsible = to
    account.save(update_fields=["responsible"])
    change = {"responsible": (former, to.email)}
    audit.record(
        "service_account.handed_over", actor=actor, subject=account, tenant=account.service_of, changes=change
    )


KINDS = (Keys(), Tokens(), ServiceAccounts(), Projects())


def _problem_with_person(new_owner: User) -> str:
    return (
        _("Choose a person. A service account cannot answer for another account.")
        if new_owner.is_service_account
        else ""
    )


def _locked(rows: QuerySet[Row]) -> QuerySet[Row]:
    return rows.select_for_update(of=("self",)).order_by("pk")
