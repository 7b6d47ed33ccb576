"""Members' project roles over HTTP."""

from __future__ import annotations

from django.db.models import F
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import signed_in
from core.pagination import LINK, PAGE_SIZE, PLAIN_PAGE, PLAIN_PAGE_PARAMETERS, plain_page
from core.query_parameters import takes
from core.serializers import StrictModelSerializer, StrictSerializer
from tenants.actions import set_project_role
from tenants.models import Membership, Project, ProjectRole
from tenants.roles import PROJECT_ROLES, Role


class ProjectRoleSerializer(StrictModelSerializer[ProjectRole]):
    member = serializers.PrimaryKeyRelatedField[Membership](source="membership", read_only=True)
    name = serializers.CharField(source="membership.user", read_only=True)
    tenant_role = serializers.ChoiceField(
        choices=Role.choices,
        source="membership.role",
        read_only=True,
        help_text="The tenant role that it replaces.",
    )

    class Meta:
        model = ProjectRole
        fields = ["member", "name", "role", "tenant_role", "created_at"]


class SetProjectRoleSerializer(StrictSerializer):
    member = serializers.UUIDField(help_text="The id of a membership of the project's tenant.")
    role = serializers.ChoiceField(
        choices=[(role.value, role.label) for role in PROJECT_ROLES],
        allow_null=True,
        help_text="null: the member's tenant role applies in the project again.",
    )


TAKES_OF_ROLES = takes(*PLAIN_PAGE_PARAMETERS)
TAKES_TO_SET_ROLE = takes(PAGE_SIZE, http_method="POST")
ROLES_SCHEMA = extend_schema(
    methods=["GET"],
    responses=ProjectRoleSerializer(many=True),
    description=(
        "Members who have a role of their own in this project, in place of the tenant's, "
        f"{PLAIN_PAGE} at a time; `Link` leads to the next ones."
    ),
)
SET_ROLE_SCHEMA = extend_schema(
    methods=["POST"],
    request=SetProjectRoleSerializer,
    parameters=[LINK],
    responses={
        200: ProjectRoleSerializer(many=True),
        409: OpenApiResponse(description="Project roles do not limit owners and admins."),
    },
    description=(
        "Give a member a role of their own in this project, or remove it. It decides what they may do "
        "with the project's requests, keys and limits, from their next request on. The answer is the "
        "first page of the resulting list."
    ),
)


def project_roles(request: Request, project: Project) -> Response:
    """List the project's own roles, a page at a time. After a POST, list the new state."""
    if request.method == "POST":
        set_project_role.require(signed_in(request), ProjectRole(tenant=project.tenant, project=project))
        wanted = SetProjectRoleSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        said = wanted.validated_data
        set_project_role(project.pk, said["member"], said["role"], by=signed_in(request))
    roles = ProjectRole.objects.visible_to(request.user).filter(project=project)
    roles = roles.select_related("membership__user").annotate(shown=F("membership__user__name"))
    return plain_page(request, [(roles, ("shown", "pk"))], ProjectRoleSerializer)
