"""Members of a tenant: who belongs, in which role, and what happens to what a departing member owns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import CharField, F, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Lower, NullIf
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.generic import DetailView, TemplateView

from accounts.declared import Action
from accounts.models import Source, User
from accounts.permissions import WORDS, signed_in
from core.addresses import address_or_none
from core.choices import MOST, pick_field
from core.ids import is_uuid
from core.keyset import requested_page
from core.page_parts import Option
from core.tenant_managers import TenantQuerySet
from tenants.actions import (
    change_role,
    create_service_account,
    delete_service_account,
    disable_service_account,
    enable_service_account,
    invite,
    remove_member,
    set_project_role,
)
from tenants.actions.members import (
    require_may_give,
)
from tenants.actions.owned_resources import END, SHOWN, OwnedResources, owned_resources_of
from tenants.forms import ProjectRoleForm, RoleForm, role_options
from tenants.models import ApiKey, Invitation, Membership, Project, ProjectRole, Tenant
from tenants.roles import NEVER_NARROWED, PROJECT_ROLE_CHOICES, ROLE_PERMISSIONS, Role
from tenants.status import why_not_active
from tenants.suspension import keys_lost_by, tokens_issued_by, tokens_lost_by
from tenants.views.member_rows import InvitationRow, MemberRow, invitation_row, member_row
from tenants.views.mixins import PartialMixin, TenantScopedMixin

PAGE_SIZE = 50
# The most project roles that a member's page shows at a time.
PROJECTS_SHOWN = 25
TABS = ("people", "invitations", "service-accounts")


@dataclass(frozen=True)
class MemberListPage:
    """What the page of members shows."""

    tab: str
    query: str
    rows: Sequence[MemberRow | InvitationRow]
    is_manager: bool
    may_make_accounts: bool
    leaving: Membership | None


class MemberList(PartialMixin, TenantScopedMixin[TenantQuerySet[Membership]], TemplateView):
    """A tab each for people, open invitations and service accounts. Every member sees who belongs."""

    model = Membership
    template_name = "tenants/member_list.html"
    partial_name = "tenants/_member_table.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user = signed_in(request)
        is_member = user.memberships.filter(tenant=self.tenant).exists()
        if not (is_member or user.is_superuser or user.staff_roles & Membership.visible_to_staff):
            raise PermissionDenied(_("Only members, operators and auditors can see members."))
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = signed_in(self.request)
        is_manager = invite.is_permitted(user, self.tenant)
        tab = self.request.GET.get("tab", "")
        if tab not in TABS or (tab == "invitations" and not is_manager):
            tab = "people"
        query = self.request.GET.get("q", "").strip().replace("\0", "")[:100]
        rows = self._invitations(query) if tab == "invitations" else self._members(tab, query)
        page = requested_page(
            self.request,
            rows,
            ("-pk",) if tab == "invitations" else ("shown", "pk"),
            size=PAGE_SIZE,
        )
        tell = invitation_row if tab == "invitations" else member_row
        return (
            super().get_context_data(**kwargs)
            | vars(
                MemberListPage(
                    tab=tab,
                    query=query,
                    rows=[tell(row) for row in page.rows],
                    is_manager=is_manager,
                    may_make_accounts=create_service_account.is_permitted(user, self.tenant),
                    leaving=self._what_one_may_leave(user),
                )
            )
            | page.links(tab=tab, q=query)
        )

    def _what_one_may_leave(self, user: User) -> Membership | None:
        """Return the person's own membership, unless a group mapping gave it: the mapping would give it again."""
        own = Membership.objects.in_tenant(self.tenant).filter(user=user, source=Source.PERSON)
        return None if self.tenant.status == Tenant.Status.CLOSED else own.first()

    def _members(self, tab: str, query: str) -> QuerySet[Membership]:
        members = self.get_queryset().select_related("user__responsible")
        members = members.filter(user__service_of__isnull=tab == "people").annotate(
            shown=Lower(Coalesce(NullIf("user__name", Value("")), "user__email", output_field=CharField()))
        )
        for word in query.split():
            members = members.filter(Q(user__name__icontains=word) | Q(user__email__icontains=word))
        return members

    def _invitations(self, query: str) -> QuerySet[Invitation]:
        visible = Invitation.objects.visible_to(signed_in(self.request)).in_tenant(self.tenant)
        found = visible.open().select_related("invited_by")
        return found.filter(email__icontains=query) if query else found


class MemberPage(TenantScopedMixin[TenantQuerySet[Membership]], DetailView):  # type: ignore[type-arg]
    """What pages about one member share."""

    model = Membership
    context_object_name = "member"
    object: Membership

    def get_queryset(self) -> TenantQuerySet[Membership]:
        return super().get_queryset().select_related("user__responsible", "tenant")


@dataclass(frozen=True)
class MemberDetailPage:
    """What the page of one member shows."""

    is_manager: bool
    is_self: bool
    may_stop: bool
    may_change: bool
    may_narrow: bool
    may_remove: bool
    why_not: str
    options: list[Option]
    project_roles: list[dict[str, Any]]
    project_form: ProjectRoleForm | None
    project_role_choices: Sequence[Any]
    is_never_narrowed: bool
    owned: list[OwnedResources]


class MemberDetail(MemberPage):
    """One member: their role, their project roles, and the ways to change these or to remove the member."""

    template_name = "tenants/member_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user, member = signed_in(self.request), self.object
        is_manager = invite.is_permitted(user, self.tenant)
        is_self = member.user_id == user.pk
        stop_or_go = disable_service_account if member.user.is_active else enable_service_account
        may_touch = change_role.is_permitted(user, member)
        roles = ProjectRole.objects.in_tenant(self.tenant).filter(membership=member)
        page = requested_page(
            self.request,
            roles.select_related("project").annotate(shown=F("project__name")),
            ("shown", "pk"),
            size=PROJECTS_SHOWN,
        )
        given = [
            {"project": role.project, "role": role.role, "label": role.get_role_display()}
            for role in page.rows
        ]
        context = super().get_context_data(**kwargs)
        project_form = ProjectRoleForm(
            projects=context["projects"],
            offered=context["projects"].exclude(pk__in=roles.values("project")),
            source=reverse("suggestions", args=[self.tenant.slug, "projects"]),
        )
        return (
            context
            | vars(
                MemberDetailPage(
                    is_manager=is_manager,
                    is_self=is_self,
                    may_stop=stop_or_go.is_possible(user, member),
                    may_change=change_role.is_possible(user, member),
                    may_narrow=set_project_role.is_possible(
                        user, ProjectRole(tenant=self.tenant, membership=member)
                    ),
                    may_remove=_removal_of(member).is_possible(user, member),
                    why_not=_why_not(
                        is_manager=is_manager, is_self=is_self, member=member, may_touch=may_touch
                    ),
                    options=role_options(
                        user,
                        self.tenant,
                        chosen=member.role,
                        without=[Role.OWNER] if member.user.is_service_account else [],
                    ),
                    project_roles=given,
                    project_form=project_form if pick_field(project_form, "project").has_any else None,
                    project_role_choices=PROJECT_ROLE_CHOICES,
                    is_never_narrowed=member.role in NEVER_NARROWED,
                    owned=owned_resources_of(member.user, self.tenant) if is_manager or is_self else [],
                )
            )
            | page.links(fragment="projects-title")
        )


def _why_not(*, is_manager: bool, is_self: bool, member: Membership, may_touch: bool) -> str:
    """Return why the role cannot be changed here, and what to do instead; empty if it can."""
    if not is_manager:
        return _("Only owners and admins can change roles.")
    if is_self:
        return _("You cannot change your own role. Another owner or admin can.")
    if member.source == Source.GROUP:
        return _(
            "A group in the directory gives this role. Change the group there, or the mapping in the admin."
        )
    if not may_touch:
        return _("Only an owner can decide about owners.")
    return "" if member.tenant.status == Tenant.Status.ACTIVE else why_not_active(member.tenant)


class MemberRole(MemberPage):
    """Give another role, after a confirmation step if it gives less, makes an owner, or suspends keys."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("member-detail", self.tenant.slug, self.get_object().pk)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        member = self.object = self.subject_of(change_role)
        form = RoleForm(request.POST)
        if not form.is_valid():
            raise ValidationError(_("Choose a role."))
        role = Role(form.cleaned_data["role"])
        require_may_give(signed_in(request), self.tenant, role)
        stopping = keys_lost_by(member, role)
        if not form.cleaned_data["confirmed"] and _wants_a_second_look(member.role, role, stopping):
            context = self.get_context_data(
                role=role,
                lost=_lost(member.role, role),
                tokens=tokens_lost_by(member, role).count(),
                **_context_of(stopping),
            )
            return render(request, "tenants/member_role.html", context)
        change_role(member.pk, role, by=signed_in(request))
        messages.success(
            request, _("%(who)s is %(role)s now") % {"who": member.user, "role": role.label.lower()}
        )
        return redirect("member-detail", self.tenant.slug, member.pk)


def _wants_a_second_look(before: str, after: str, stopping: QuerySet[ApiKey]) -> bool:
    if before == after:
        return False
    is_less = not ROLE_PERMISSIONS[before] <= ROLE_PERMISSIONS[after]
    return after == Role.OWNER or is_less or stopping.exists()


def _context_of(stopping: QuerySet[ApiKey]) -> dict[str, Any]:
    """Return what the confirmation step for a change of role shows about the keys that it suspends."""
    count = stopping.count()
    keys = list(stopping.select_related("project").order_by("-pk")[:SHOWN])
    return {"stopping": keys, "stopping_count": count, "more": count - len(keys)}


def _lost(before: str, after: str) -> list[str]:
    """Return what a member can no longer do, in words."""
    gone = sorted(ROLE_PERMISSIONS[before] - ROLE_PERMISSIONS[after])
    return [WORDS.get(f"tenants.{action}", action) for action in gone]


class MemberProjectRole(MemberPage):
    """Give or remove a project role, after a confirmation step if this suspends keys."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return redirect("member-detail", self.tenant.slug, self.get_object().pk)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        member = self.object = self.get_object()
        given = ProjectRole(tenant=self.tenant, membership=member)
        set_project_role.require(signed_in(request), given)
        projects = Project.objects.visible_to(signed_in(request)).in_tenant(self.tenant)
        form = ProjectRoleForm(request.POST, projects=projects)
        if not form.is_valid():
            if "project" in form.errors and is_uuid(request.POST.get("project", "")):
                raise Http404
            raise ValidationError(_("Choose a project and a role."))
        project = form.cleaned_data["project"]
        role = form.cleaned_data["role"] or None
        stopping = keys_lost_by(member, role or member.role, project=project)
        if not form.cleaned_data["confirmed"] and stopping.exists():
            context = self.get_context_data(
                role=Role(role) if role else None, of_project=project, **_context_of(stopping)
            )
            return render(request, "tenants/member_role.html", context)
        set_project_role(project.pk, member.pk, role, by=signed_in(request))
        words = {"who": member.user, "project": project.name}
        said = (
            _("The role of %(who)s in %(project)s is changed")
            if role
            else _("%(who)s has the tenant role again")
        )
        messages.success(request, said % words)
        return redirect("member-detail", self.tenant.slug, member.pk)


def _removal_of(member: Membership) -> Action[Membership, Any, None]:
    """Return the action that removes this member."""
    return delete_service_account if member.user.is_service_account else remove_member


class MemberRemove(MemberPage):
    """Show what a member owns, let somebody transfer or end it, and remove the member. Members can also leave."""

    template_name = "tenants/member_remove.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.problems: dict[str, list[str]] = {}
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.get_object()
        _removal_of(self.object).require(signed_in(request), self.object)
        return self.render_to_response(self.get_context_data())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        member = self.object = self.get_object()
        user = signed_in(request)
        _removal_of(member).require(user, member)
        choices = {kind.kind: self._choice(kind) for kind in owned_resources_of(member.user, self.tenant)}
        try:
            if member.user.is_service_account:
                delete_service_account(member.pk, by=user, choices=choices)
            else:
                reason = request.POST.get("reason", "")[:500]
                remove_member(member.pk, by=user, choices=choices, reason=reason)
        except ValidationError as error:
            self.problems = error.message_dict
            return self.render_to_response(self.get_context_data(), status=400)
        messages.success(
            request,
            _("%(who)s is no longer a member of %(tenant)s") % {"who": member.user, "tenant": self.tenant},
        )
        return redirect("home") if member.user_id == user.pk else redirect("member-list", self.tenant.slug)

    def _choice(self, kind: OwnedResources) -> str:
        """Return the choice in the form: END, the membership of the typed address, or an id that matches nobody."""
        chosen = self.request.POST.get(kind.kind, "")
        if chosen != "hand_over":
            return chosen if chosen == END else ""
        address = address_or_none(self.request.POST.get(f"{kind.kind}_to", ""))
        new_owners = self.get_queryset().filter(user__email=address)
        return str(new_owners.values_list("pk", flat=True).first() or "nobody")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        member = self.object
        owned = [
            {
                "kind": kind,
                "chosen": self.request.POST.get(kind.kind, ""),
                "to": self.request.POST.get(f"{kind.kind}_to", ""),
                "problem": " ".join(self.problems.get(kind.kind, [])),
                "more": kind.count - len(kind.rows),
            }
            for kind in owned_resources_of(member.user, self.tenant)
        ]
        new_owners = self.get_queryset().filter(user__is_active=True).exclude(pk=member.pk)
        return super().get_context_data(**kwargs) | {
            "owned": owned,
            "issued_tokens": tokens_issued_by(member.user, self.tenant)
            .filter(revoked_at=None, expires_at__gt=now())
            .count(),
            "new_owners": [one.user for one in new_owners.order_by("user__email")[:MOST]],
            "is_self": member.user_id == signed_in(self.request).pk,
        }
