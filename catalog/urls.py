"""Pages of a tenant, below /t/<tenant>/: home, catalog, requests, keys."""

from django.urls import path, re_path

from catalog.views.access_requests import (
    RequestDetail,
    RequestList,
    RequestNew,
    RequestPreview,
    RequestWithdraw,
)
from catalog.views.attestations import AttestationList
from catalog.views.changes import RequestChange
from catalog.views.conversation import RequestComments
from catalog.views.grants import GrantDetail, GrantList, GrantRenew, GrantRevoke, GrantTakeOver
from catalog.views.home import TenantHome
from catalog.views.keys import KeyClaim, KeyList, KeyRevoke
from catalog.views.model_compare import ModelCompare
from catalog.views.model_list import ModelList
from catalog.views.models import ModelDetail

NAME = r"(?P<name>[a-z0-9][a-z0-9._-]*)"  # a model's public name

urlpatterns = [
    path("", TenantHome.as_view(), name="tenant-home"),
    path("models/", ModelList.as_view(), name="model-list"),
    path("compare/", ModelCompare.as_view(), name="model-compare"),
    re_path(rf"^models/{NAME}/$", ModelDetail.as_view(), name="model-detail"),
    re_path(rf"^models/{NAME}/request/$", RequestNew.as_view(), name="request-new"),
    re_path(rf"^models/{NAME}/request/preview/$", RequestPreview.as_view(), name="request-preview"),
    path("requests/", RequestList.as_view(), name="request-list"),
    path("requests/<uuid:pk>/", RequestDetail.as_view(), name="request-detail"),
    path("requests/<uuid:pk>/withdraw/", RequestWithdraw.as_view(), name="request-withdraw"),
    path("requests/<uuid:pk>/change/", RequestChange.as_view(), name="request-change"),
    path("requests/<uuid:pk>/comments/", RequestComments.as_view(), name="request-comments"),
    path("grants/", GrantList.as_view(), name="grant-list"),
    path("grants/still-needed/", AttestationList.as_view(), name="attestation-list"),
    path("grants/<uuid:pk>/", GrantDetail.as_view(), name="grant-detail"),
    path("grants/<uuid:pk>/revoke/", GrantRevoke.as_view(), name="grant-revoke"),
    path("grants/<uuid:pk>/renew/", GrantRenew.as_view(), name="grant-renew"),
    path("grants/<uuid:pk>/take-over/", GrantTakeOver.as_view(), name="grant-take-over"),
    path("keys/", KeyList.as_view(), name="key-list"),
    path("keys/<uuid:pk>/claim/", KeyClaim.as_view(), name="key-claim"),
    path("keys/<uuid:pk>/revoke/", KeyRevoke.as_view(), name="key-revoke"),
]
