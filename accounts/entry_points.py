"""Shared code of pages and API routes that run an action on one row."""

from __future__ import annotations

from typing import Any

from accounts.declared import Action, S
from accounts.permissions import signed_in


class SubjectMixin:
    """Gives views with a `get_object` the row of an action, after the checks that the action declares."""

    request: Any

    def subject_of(self, action: Action[S, Any, Any]) -> S:
        """The row of this URL. Raises Http404 unless it is visible, PermissionDenied, and Conflict.

        Call it before reading the body: people without the permission learn nothing of the form.
        """
        found: S = self.get_object()  # type: ignore[attr-defined]
        action.require(signed_in(self.request), found)
        return found

    def page_for(self, action: Action[S, Any, Any]) -> S:
        """Like `subject_of`, for a page with a form: ignores the row's state. Raises Http404 and PermissionDenied."""
        found: S = self.get_object()  # type: ignore[attr-defined]
        action.require_permission(signed_in(self.request), found)
        return found
