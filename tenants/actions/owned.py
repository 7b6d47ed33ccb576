"""The kinds of owned resources in this package: keys, tokens, projects, service accounts."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

import audit
from accounts.models import User
from tenants.actions.keys import hand_over_key, stop_key
from tenants.actions.owned_resources import OwnedKind, OwnedResource
from tenants.actions.tokens import stop_token
from tenants.models import ApiKey, PersonalAccessToken, Project, Tenant
from tenants.stored_sentences import ANSWERABLE_HAS_LEFT, WAS_REMOVED


class Keys(OwnedKind[ApiKey]):
    """Keys with an owner, in use or waiting. Transferred keys keep working; ended keys are revoked."""

    kind = "keys"
    label = gettext_lazy("Keys")
    end_label = gettext_lazy("Revoke them: gateways refuse calls")
    reaches_gateways = True

    def rows(self, user: User, tenant: Tenant) -> QuerySet[ApiKey]:
        return ApiKey.objects.in_tenant(tenant).current().filter(owner=user).select_related("project")

    def describe(self, row: ApiKey) -> OwnedResource:
        return OwnedResource(row.name, f"{row.project.name} · {row.get_state_display()}")

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        used = self.rows(user, tenant).values("project")
        for project in Project.objects.in_tenant(tenant).filter(pk__in=used).order_by("name"):
            if not new_owner.has_perm("tenants.claim_key", project):
                words = {"who": new_owner, "project": project}
                return (
                    _("%(who)s may not hold keys of %(project)s. Choose someone whose role allows it.")
                    % words
                )
        return ""

    def give(self, row: ApiKey, user: User, to: User, *, by: User) -> None:
        hand_over_key(row, user.email, to, actor=by)

    def end_row(self, row: ApiKey, user: User, *, by: User) -> None:
        stop_key(row, actor=by, reason=WAS_REMOVED(person=user.email))


class Tokens(OwnedKind[PersonalAccessToken]):
    """Personal access tokens bound to this tenant. They act as their person, so they cannot be transferred."""

    kind = "tokens"
    label = gettext_lazy("Personal access tokens")
    end_label = gettext_lazy("Revoke them")
    can_hand_over = False

    def rows(self, user: User, tenant: Tenant) -> QuerySet[PersonalAccessToken]:
        return PersonalAccessToken.objects.with_names().filter(
            user=user, tenant=tenant, revoked_at=None, expires_at__gt=now()
        )

    def describe(self, row: PersonalAccessToken) -> OwnedResource:
        return OwnedResource(row.name, f"{row.prefix}…")

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        return _("A personal access token acts for its person.")

    def give(self, row: PersonalAccessToken, user: User, to: User, *, by: User) -> None:
        raise ValueError("A personal access token acts for its person; it cannot be transferred.")

    def end_row(self, row: PersonalAccessToken, user: User, *, by: User) -> None:
        stop_token(row, actor=by)


class Projects(OwnedKind[Project]):
    """Projects with an owner. Without one they continue, but nobody answers for them."""

    kind = "projects"
    label = gettext_lazy("Projects")
    end_label = gettext_lazy("Leave them without a named owner")
    shown_order = "name"

    def rows(self, user: User, tenant: Tenant) -> QuerySet[Project]:
        return Project.objects.in_tenant(tenant).filter(owner=user)

    def describe(self, row: Project) -> OwnedResource:
        return OwnedResource(row.name, row.slug)

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        return _problem_with_person(new_owner)

    def give(self, row: Project, user: User, to: User, *, by: User) -> None:
        self._set_owner(row, user, to, by)

    def end_row(self, row: Project, user: User, *, by: User) -> None:
        self._set_owner(row, user, None, by)

    def _set_owner(self, project: Project, user: User, owner: User | None, by: User) -> None:
        project.owner = owner
        project.save(update_fields=["owner"])
        change = (user.email, owner.email if owner else None)
        audit.record("project.owner_changed", actor=by, subject=project, changes={"owner": change})


class ServiceAccounts(OwnedKind[User]):
    """Service accounts that a person answers for. Ending disables them: their tokens and keys stop working."""

    kind = "service_accounts"
    label = gettext_lazy("Service accounts")
    end_label = gettext_lazy("Disable them: their keys and tokens stop")
    reaches_gateways = True
    shown_order = "email"

    def rows(self, user: User, tenant: Tenant) -> QuerySet[User]:
        rows = User.objects.filter(responsible=user, service_of=tenant, is_active=True)
        return rows.select_related("service_of")

    def describe(self, row: User) -> OwnedResource:
        return OwnedResource(row.name, row.email)

    def problem_with(self, new_owner: User, user: User, tenant: Tenant) -> str:
        return _problem_with_person(new_owner)

    def give(self, row: User, user: User, to: User, *, by: User) -> None:
        hand_over_account(row, user.email, to, actor=by)

    def end(self, user: User, tenant: Tenant, *, by: User) -> int:
        accounts = self._locked(user, tenant)
        keys = ApiKey.objects.in_tenant(tenant).filter(owner__in=accounts)
        # Lock all keys before the revision.
        list(keys.select_for_update(of=("self",)).order_by("pk"))
        return super().end(user, tenant, by=by)

    def end_row(self, row: User, user: User, *, by: User) -> None:
        # Imported late: that module itself transfers owned resources.
        from tenants.actions.service_accounts import stop

        assert row.service_of is not None
        stop(row, row.service_of, reason=ANSWERABLE_HAS_LEFT(), actor=by)


def hand_over_account(account: User, former: str, to: User, *, actor: User | None) -> None:
    """Make `to` answer for a service account that the caller has locked. The account keeps working.

    Args:
        account: the service account.
        former: what the audit log calls the person who answered for it: an address, or the pseudonym of the erased.
        to: an active person of the account's tenant; the caller has checked this.
        actor: who does it; None means the platform.
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
