"""The addresses that directories call, below /scim/v2/. They have no trailing slash, as in RFC 7644."""

from django.urls import path, re_path

from directory.scim import discovery, resources
from directory.scim.base import Unknown

urlpatterns = [
    path("ServiceProviderConfig", discovery.Configuration.as_view(), name="scim-config"),
    path("ResourceTypes", discovery.ResourceTypes.as_view(), name="scim-resource-types"),
    path("ResourceTypes/<str:key>", discovery.ResourceTypes.as_view(), name="scim-resource-type"),
    path("Schemas", discovery.Schemas.as_view(), name="scim-schemas"),
    path("Schemas/<str:key>", discovery.Schemas.as_view(), name="scim-schema"),
    path("Users", resources.Users.as_view(), name="scim-users"),
    path("Users/.search", resources.UserSearch.as_view(), name="scim-user-search"),
    path("Users/<uuid:pk>", resources.UserDetail.as_view(), name="scim-user"),
    path("Groups", resources.Groups.as_view(), name="scim-groups"),
    path("Groups/.search", resources.GroupSearch.as_view(), name="scim-group-search"),
    path("Groups/<uuid:pk>", resources.GroupDetail.as_view(), name="scim-group"),
    path("Bulk", discovery.NotDone.as_view(), name="scim-bulk"),
    path("Me", discovery.NotDone.as_view(), name="scim-me"),
    path(".search", discovery.NotDone.as_view(), name="scim-search"),
    re_path(r"^.*$", Unknown.as_view(), name="scim-unknown"),
]
