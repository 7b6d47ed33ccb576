"""Members, invitations and service accounts over HTTP."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency import idempotent
from accounts.models import Source
from accounts.permissions import signed_in
from core.filters import WordsFilter
from core.rate_limits import limit_rate
from core.serializers import StrictModelSerializer, StrictSerializer, require_no_fields
from tenants.actions import (
    change_role,
    create_service_account,
    delete_service_account,
    disable_service_account,
    enable_service_account,
    invite,
    remove_member,
    resend_invitation,
    withdraw_invitation,
)
from tenants.actions.members import require_may_give
from tenants.actions.owned_resources import owned_resources_of, require_may_look
from tenants.actions.service_accounts import LONGEST_NAME
from tenants.api.base import InTenantFilter, VisibleMixin, named_tenant, peek
from tenants.api.fields import AddressSerializerField
from tenants.models import Invitation, Membership, Tenant
from tenants.querysets import InvitationQuerySet
from tenants.roles import PROJECT_ROLE_CHOICES, Role, TokenScope

IDEMPOTENT = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="If the request is sent again with the same body, the first answer is repeated and "
    "nothing happens twice.",
)
_LAST_OWNER = OpenApiResponse(
    description="They are the last owner (`last_owner`), or a group mapping gave the role (`given_by_rule`)."
)


class MemberSerializer(StrictModelSerializer[Membership]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    name = serializers.CharField(source="user.name", read_only=True)
    email = serializers.EmailField(source="user.email", read_only=True)
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=Source.choices,
        read_only=True,
        help_text="Change a role from a group mapping in the mapping or the directory.",
    )
    is_active = serializers.BooleanField(source="user.is_active", read_only=True)

    class Meta:
        model = Membership
        fields = ["id", "tenant", "name", "email", "role", "source", "is_active", "created_at"]


class ServiceAccountSerializer(MemberSerializer):
    responsible = serializers.EmailField(
        source="user.responsible.email", read_only=True, allow_null=True, default=None
    )

    class Meta(MemberSerializer.Meta):
        fields = ["id", "tenant", "name", "email", "role", "is_active", "responsible", "created_at"]


class InvitationSerializer(StrictModelSerializer[Invitation]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    invited_by = serializers.EmailField(source="invited_by.email", read_only=True)

    class Meta:
        model = Invitation
        fields = [
            "id", "tenant", "email", "role", "invited_by", "created_at", "expires_at", "sent_at", "mail_problem",
            "accepted_at", "withdrawn_at",
        ]  # fmt: skip


class OwnedResourcesSerializer(StrictSerializer):
    kind = serializers.CharField(help_text="Its name in `choices` of a removal.")
    label = serializers.CharField()  # type: ignore[assignment]
    count = serializers.IntegerField()
    can_hand_over = serializers.BooleanField()


class RoleOfMemberSerializer(StrictSerializer):
    role = serializers.ChoiceField(choices=Role.choices)


class ChoicesSerializer(StrictSerializer):
    choices = serializers.DictField(
        child=serializers.CharField(max_length=40),
        required=False,
        default=dict,
        help_text='By kind of owned resources: "end", or the id of the membership of the new owner.',
    )


class RemoveMemberSerializer(ChoicesSerializer):
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class NewInvitationSerializer(StrictSerializer):
    tenant = serializers.SlugField(help_text="Slug of the tenant.")
    email = AddressSerializerField()
    role = serializers.ChoiceField(choices=Role.choices)


class NewServiceAccountSerializer(StrictSerializer):
    tenant = serializers.SlugField(help_text="Slug of the tenant.")
    name = serializers.CharField(
        max_length=LONGEST_NAME, help_text="What the program does, such as nightly-report."
    )
    role = serializers.ChoiceField(
        choices=PROJECT_ROLE_CHOICES,
        help_text="Never above your own role, and never owner.",
    )


class MemberFilter(InTenantFilter):
    """Narrow members to a tenant, a role, or words in name and address."""

    role = django_filters.ChoiceFilter(choices=Role.choices)
    q = WordsFilter(method="search", label="Words in name or e-mail address")

    def search(self, members: QuerySet[Membership], name: str, value: str) -> QuerySet[Membership]:
        for word in value.split():
            members = members.filter(Q(user__name__icontains=word) | Q(user__email__icontains=word))
        return members


@extend_schema_view(list=extend_schema(description="Members of your tenants, newest first."))
class MemberViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Membership]):
    """Members of your tenants, with their roles."""

    model, serializer_class, filterset_class = Membership, MemberSerializer, MemberFilter
    token_scope = TokenScope.MANAGE

    def get_queryset(self) -> QuerySet[Membership]:
        return super().get_queryset().filter(user__service_of=None).select_related("tenant", "user")

    @extend_schema(request=RoleOfMemberSerializer, responses={200: MemberSerializer, 409: _LAST_OWNER})
    @action(detail=True, methods=["post"])
    def role(self, request: Request, pk: str) -> Response:
        """Give a member another role. It takes effect on their next request."""
        member = self.subject_of(change_role)
        said = RoleOfMemberSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        changed = change_role(member.pk, said.validated_data["role"], by=signed_in(request))
        return Response(self.get_serializer(changed).data)

    @extend_schema(responses=OwnedResourcesSerializer(many=True))
    @action(
        detail=True, url_path="owned-resources", methods=["get"], pagination_class=None, filterset_class=None
    )
    def owned_resources(self, request: Request, pk: str) -> Response:
        """What a member owns in the tenant. Each kind needs a decision before the member leaves."""
        member = self.get_object()
        require_may_look(signed_in(request), member)
        owned = owned_resources_of(member.user, member.tenant)
        return Response(OwnedResourcesSerializer(owned, many=True).data)

    @extend_schema(
        request=RemoveMemberSerializer,
        responses={
            204: OpenApiResponse(description="They are no longer a member."),
            400: OpenApiResponse(description="A kind of owned resources has no decision."),
            409: _LAST_OWNER,
        },
    )
    @action(detail=True, methods=["post"])
    def remove(self, request: Request, pk: str) -> Response:
        """End a membership and transfer what its member owns here. Ending your own means leaving."""
        member, user = self.subject_of(remove_member), signed_in(request)
        said = RemoveMemberSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        remove_member(member.pk, by=user, **said.validated_data)
        return Response(status=status.HTTP_204_NO_CONTENT)


class InvitationFilter(InTenantFilter):
    """Narrow invitations to a tenant or an address."""

    email = django_filters.CharFilter(method="to_address")

    def to_address(
        self, invitations: InvitationQuerySet[Invitation], name: str, said: str
    ) -> InvitationQuerySet[Invitation]:
        return invitations.to(said)


@extend_schema_view(
    list=extend_schema(description="Invitations of tenants whose members you manage, newest first.")
)
class InvitationViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Invitation]):
    """Offers of a role to an address. Only the mail contains the link; the API never returns it."""

    model, serializer_class, filterset_class = Invitation, InvitationSerializer, InvitationFilter
    token_scope = TokenScope.MANAGE

    def get_queryset(self) -> QuerySet[Invitation]:
        if getattr(self, "swagger_fake_view", False):
            return Invitation.unscoped.none()
        managed = Invitation.objects.visible_to(self.request.user).managed_by(self.request.user)
        return managed.select_related("tenant", "invited_by")

    @extend_schema(
        request=NewInvitationSerializer, responses={201: InvitationSerializer}, parameters=[IDEMPOTENT]
    )
    def create(self, request: Request) -> Response:
        """Invite a person by mail. The answer is the same whether or not the address has an account."""
        user = signed_in(request)
        tenant = named_tenant(user, request.data)
        invite.require_permission(user, tenant)
        _require_may_offer(request, tenant)
        limit_rate("invitation_send", str(user.pk))

        def action() -> Response:
            invite.require(user, tenant)
            said = NewInvitationSerializer(data=request.data)
            said.is_valid(raise_exception=True)
            email, role = said.validated_data["email"], said.validated_data["role"]
            invitation, __ = invite(tenant, email, role, by=user)
            return Response(self.get_serializer(invitation).data, status=status.HTTP_201_CREATED)

        return idempotent(request, action)

    @extend_schema(request=None, responses=InvitationSerializer)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: str) -> Response:
        """Send it again with a new link. The earlier link stops working."""
        found = self.subject_of(resend_invitation)
        require_no_fields(request.data)
        limit_rate("invitation_send", str(signed_in(request).pk))
        invitation, __ = resend_invitation(found.pk, by=signed_in(request))
        return Response(self.get_serializer(invitation).data)

    @extend_schema(request=None, responses=InvitationSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Withdraw it. Its link stops working."""
        found = self.subject_of(withdraw_invitation)
        require_no_fields(request.data)
        invitation = withdraw_invitation(found.pk, by=signed_in(request))
        return Response(self.get_serializer(invitation).data)


@extend_schema_view(list=extend_schema(description="Service accounts of your tenants, newest first."))
class ServiceAccountViewSet(VisibleMixin, viewsets.ReadOnlyModelViewSet[Membership]):
    """Accounts of programs: they own keys and tokens, and a person answers for each."""

    model, serializer_class, filterset_class = Membership, ServiceAccountSerializer, MemberFilter
    token_scope = TokenScope.MANAGE

    def get_queryset(self) -> QuerySet[Membership]:
        accounts = super().get_queryset().filter(user__service_of__isnull=False)
        return accounts.select_related("tenant", "user__responsible")

    @extend_schema(
        request=NewServiceAccountSerializer,
        responses={201: ServiceAccountSerializer},
        parameters=[IDEMPOTENT],
    )
    def create(self, request: Request) -> Response:
        """Create a service account. You answer for it."""
        user = signed_in(request)
        tenant = named_tenant(user, request.data)
        create_service_account.require_permission(user, tenant)
        _require_may_offer(request, tenant)

        def action() -> Response:
            create_service_account.require(user, tenant)
            said = NewServiceAccountSerializer(data=request.data)
            said.is_valid(raise_exception=True)
            name, role = said.validated_data["name"], said.validated_data["role"]
            account = create_service_account(tenant, name=name, role=role, by=user)
            member = self.get_queryset().get(user=account)
            return Response(self.get_serializer(member).data, status=status.HTTP_201_CREATED)

        return idempotent(request, action)

    @extend_schema(request=None, responses=ServiceAccountSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        """Stop its tokens and keys until it is enabled."""
        member = self.subject_of(disable_service_account)
        require_no_fields(request.data)
        disable_service_account(member.pk, by=signed_in(request))
        return Response(self.get_serializer(self.get_queryset().get(pk=member.pk)).data)

    @extend_schema(request=None, responses=ServiceAccountSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: str) -> Response:
        """Enable it. You then answer for it."""
        member = self.subject_of(enable_service_account)
        require_no_fields(request.data)
        enable_service_account(member.pk, by=signed_in(request))
        return Response(self.get_serializer(self.get_queryset().get(pk=member.pk)).data)

    @extend_schema(
        request=ChoicesSerializer,
        responses={
            204: OpenApiResponse(description="It no longer exists."),
            400: OpenApiResponse(description="A kind of owned resources has no decision."),
        },
    )
    @action(detail=True, methods=["post"], url_path="delete")
    def end(self, request: Request, pk: str) -> Response:
        """Delete it permanently. Its keys are transferred or revoked."""
        member, user = self.subject_of(delete_service_account), signed_in(request)
        said = ChoicesSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        delete_service_account(member.pk, by=user, **said.validated_data)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _require_may_offer(request: Request, tenant: Tenant) -> None:
    """Raise PermissionDenied if the body names a role above the caller's. Unknown roles are rejected later."""
    if (role := peek(request, "role")) in Role.values:
        require_may_give(signed_in(request), tenant, role)
