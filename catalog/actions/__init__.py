"""Actions on models, access requests and grants."""

from catalog.actions.access_requests import raise_access_request, withdraw_access_request
from catalog.actions.changes import resend_access_request
from catalog.actions.comments import comment_on_request
from catalog.actions.curating import curate_model, curate_models, settle_facts
from catalog.actions.grants import revoke_grant, take_over_grant
from catalog.actions.imports import accept_entries, reject_entries, start_import, undo_import
from catalog.actions.models import publish_model, publish_models
from catalog.actions.planned_changes import deprecate_model, retire_model, undo_change
from catalog.actions.previews import Preview, preview_access_request
from catalog.actions.renewals import renew_grant
from catalog.actions.reviews import decide_review

__all__ = [
    "Preview",
    "accept_entries",
    "comment_on_request",
    "curate_model",
    "curate_models",
    "decide_review",
    "deprecate_model",
    "preview_access_request",
    "publish_model",
    "publish_models",
    "raise_access_request",
    "reject_entries",
    "renew_grant",
    "resend_access_request",
    "retire_model",
    "revoke_grant",
    "settle_facts",
    "start_import",
    "take_over_grant",
    "undo_change",
    "undo_import",
    "withdraw_access_request",
]
