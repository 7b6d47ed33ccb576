"""Actions on models, access requests and grants."""

from catalog.actions.access_requests import (
    Preview,
    preview_access_request,
    raise_access_request,
    withdraw_access_request,
)
from catalog.actions.models import publish_model, retire_model
from catalog.actions.price_map import ImportReport, import_price_map
from catalog.actions.reviews import decide_review, revoke_grant

__all__ = [
    "ImportReport",
    "Preview",
    "decide_review",
    "import_price_map",
    "preview_access_request",
    "publish_model",
    "raise_access_request",
    "retire_model",
    "revoke_grant",
    "withdraw_access_request",
]
