"""What pages and routes of the API share that carry out an action on one row."""

from __future__ import annotations

from typing import Any

from accounts.declared import Action, S
from accounts.permissions import signed_in


class SubjectMixin:
    """Gives views that find a row with `get_object` the row an action is about, once its declaration has been asked."""

    request: Any

    def subject_of(self, action: Action[S, Any, Any]) -> S:
        """The row of this address. Raises Http404 unless it is visible, PermissionDenied, and Conflict.

        Asked before the body is read: those who may not learn nothing of the form.
        """
        found: S = self.get_object()  # type: ignore[attr-defined]
        action.require(signed_in(self.request), found)
        return found

    def page_for(self, action: Action[S, Any, Any]) -> S:
        """The same for a page that shows a form: in whatever state the row is. Raises Http404 and PermissionDenied."""
        found: S = self.get_object()  # type: ignore[attr-defined]
        action.require_permission(signed_in(self.request), found)
        return found
