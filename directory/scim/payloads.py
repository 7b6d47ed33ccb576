"""Users and Groups in this service, and what it declares about itself (RFC 7643, sections 4 to 7).

Only stored attributes are declared, as /Schemas shows. Everything else that a directory sends (titles, telephone
numbers, passwords, the enterprise extension) is ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field
from scim2_models import (
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    ETag,
    Filter,
    GroupMember,
    GroupMembership,
    Mutability,
    Pagination,
    Patch,
    Required,
    Resource,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)
from scim2_models.urn import URN

DEFAULT_PAGE = 100
LONGEST_PAGE = 200


class Name(ComplexAttribute):
    formatted: str | None = None
    """The full name, as shown."""

    family_name: str | None = None
    """The family name."""

    given_name: str | None = None
    """The given name."""


class Email(ComplexAttribute):
    value: str | None = None
    """The address."""

    type: str | None = Field(None, examples=["work"])
    """The purpose of the address; an address of type work has priority."""

    primary: bool | None = None
    """Whether it is the preferred address."""


class User(Resource[Any]):
    """A person."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """The e-mail address with which the person signs in."""

    name: Name | None = None
    """The components of the person's name."""

    Name: ClassVar[type[ComplexAttribute]] = Name

    display_name: str | None = None
    """The person's name on pages."""

    active: bool | None = None
    """Whether the person may sign in. If false, they have no session, and their keys and tokens are suspended."""

    emails: list[Email] | None = None
    """The address of type work, or else the primary one, or else the first; if there is none, userName."""

    Emails: ClassVar[type[ComplexAttribute]] = Email

    groups: Annotated[list[GroupMembership] | None, Mutability.read_only] = None
    """The groups to which the person belongs."""

    Groups: ClassVar[type[ComplexAttribute]] = GroupMembership


class Group(Resource[Any]):
    """A group. Group mappings give its members roles."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, Required.true, Uniqueness.server, CaseExact.true] = None
    """The name of the group, by which group mappings know it."""

    members: list[GroupMember] | None = None
    """The people in the group; groups within groups are not supported."""

    Members: ClassVar[type[ComplexAttribute]] = GroupMember


PROVIDER = ScimProvider(
    models=[User, Group],
    config=ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=LONGEST_PAGE),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=True),
        etag=ETag(supported=True),
        pagination=Pagination(
            cursor=False,
            index=True,
            default_pagination_method=Pagination.DefaultPaginationMethod.index,
            default_page_size=DEFAULT_PAGE,
            max_page_size=LONGEST_PAGE,
        ),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="Directory token",
                description="A bearer token (qms_…) that an operator issues in the staff site.",
                primary=True,
            )
        ],
    ),
    policy=ScimPolicy(
        unknown=ScimPolicy.Unknown.ignore,
        # Entra ID removes members this way.
        remove_value_as_filter=ScimPolicy.RemoveValue.apply,
        # Entra ID sets a first work address this way.
        unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
    ),
)
