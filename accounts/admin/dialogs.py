"""Dialogs of the admin: each explains an action, asks for its arguments, and calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import action as unfold_action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.admin.base import go_to, offers
from accounts.declared import Action
from accounts.permissions import signed_in
from core.errors import Conflict
from core.form_errors import show_errors
from core.leaks import without_secrets

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

    Words = str | StrPromise

# Unfold adds this field to every dialog.
SUBMITTED = "_form_submitted"


class DialogForm(BaseDialogForm):  # type: ignore[misc]
    """The form of a dialog. Without fields it asks only for confirmation."""

    def answers(self) -> dict[str, Any]:
        """The arguments of the action, by name: the fields of the form, each named like its argument."""
        return {name: value for name, value in self.cleaned_data.items() if name != SUBMITTED}

    def render_before_template(self) -> SafeString:
        """What stands above the fields. Unfold's dialog shows only errors of fields; this adds those of the form."""
        errors = {"errors": self.non_field_errors()}
        above = render_to_string("unfold/helpers/form_errors.html", errors)
        return format_html("{}{}", above, super().render_before_template())


class Dangerous:
    """Mixed into the form of a dangerous dialog: its own button is red, too."""

    form_after_template = "admin/accounts/dangerous.html"


def reason_field(*, max_length: int = 500, help_text: Words = "", rows: int = 1) -> forms.CharField:
    """The field in which a dialog asks for a reason, of one line or of `rows` lines."""
    widget = UnfoldAdminTextareaWidget(attrs={"rows": rows}) if rows > 1 else UnfoldAdminTextInputWidget()
    return forms.CharField(label=_("Reason"), max_length=max_length, help_text=help_text, widget=widget)


class ReasonForm(DialogForm):
    """Asks for a reason."""

    reason = reason_field()


class Dialog:
    """A button of the admin that opens a dialog, and calls its action when the person submits the dialog.

    Put the name of the attribute into `actions_detail` of the admin, for an action on the row of the page, or into
    `actions_list`. The dialog calls the action with the row's id, if there is one, with the answers of the form, and
    with `by`. If it raises Conflict or PermissionDenied, the page of the row shows why, with status 409 or 403. If it
    raises ValidationError, the dialog comes back with what was typed and the errors beside their fields. Its status is
    200, like that of a dialog with an invalid form, because htmx shows no page of the admin with another.
    """

    def __init__(
        self,
        action: Action[Any, ..., Any],
        *,
        label: Words,
        url_path: str,
        title: Words,
        text: Words,
        button: Words,
        done: Words = "",
        form: type[DialogForm] = DialogForm,
        call: Callable[..., Any] | None = None,
        icon: str | None = None,
        is_dangerous: bool = False,
        ends_on: Literal["row", "list"] = "row",
        show: Callable[[HttpRequest, Any], HttpResponse] | None = None,
    ) -> None:
        """Describe the dialog.

        Args:
            action: the action; people who may do it everywhere, by its declaration, see the button.
            label: the label of the button.
            url_path: the end of the dialog's URL.
            title: the question at the top of the dialog.
            text: the effect of the action, so that a person can decide.
            button: the label of the dialog's own button.
            done: the success message; `%(it)s` is the result of the action, and each answer is available by name.
            form: the form of the dialog; by default it has no fields.
            call: calls the action, if that takes more than the row's id, the answers and `by`.
            icon: the name of a symbol beside the label.
            is_dangerous: show the button, and the dialog's own, in red.
            ends_on: the next page after success: the row's, or the list.
            show: instead of `done`, makes the dialog show something of the action's result, such as a secret.
        """
        if is_dangerous:
            form = type(f"Dangerous{form.__name__}", (Dangerous, form), {})
        self.action, self.form, self.done, self.show, self.ends_on = action, form, done, show, ends_on
        self.call = call or action
        self._frame = {
            "description": label,
            "url_path": url_path,
            "icon": icon,
            "variant": ActionVariant.DANGER if is_dangerous else ActionVariant.DEFAULT,
            "dialog": {
                "title": title,
                "description": text,
                "form_class": form,
                "form_submit_text": button,
            },
        }

    def __set_name__(self, owner: type, name: str) -> None:
        """Replace the dialog by the method that Unfold expects, because it finds actions by the names of methods."""

        def method(admin: ModelAdmin, request: HttpRequest, form: DialogForm, **row: str) -> HttpResponse:
            return self.carry_out(admin, request, form, **row)

        def is_permitted(admin: ModelAdmin, request: HttpRequest, object_id: object = None) -> bool:
            return self.action.is_for(request.user)

        method.__name__ = name
        in_place = offers(self.action)(unfold_action(**self._frame, permissions=[f"{name}_dialog"])(method))
        in_place.dialog = self
        setattr(owner, f"has_{name}_dialog_permission", is_permitted)
        setattr(owner, name, in_place)

    def carry_out(
        self, admin: ModelAdmin, request: HttpRequest, form: DialogForm, object_id: str | None = None
    ) -> HttpResponse:
        """Call the action, report success or the reason for failure, and go to the page of the row or the list.

        If the action finds the answers wrong, the dialog stays open instead.

        Args:
            admin: the admin class whose button opened the dialog.
            request: the POST of the dialog.
            form: the valid form of the dialog.
            object_id: primary key of the row; None on a list.

        Raises ValidationError for a primary key that can be none (the answer is 400).
        """
        answers = form.answers()
        row = () if object_id is None else (object_id,)
        if object_id is not None:
            # An id that is none is no answer of the form. The request is malformed.
            admin.opts.pk.to_python(object_id)
        try:
            it = self.call(*row, by=signed_in(request), **answers)
        except Conflict as conflict:
            return self._refuse(admin, request, object_id, conflict.message, status=409)
        except PermissionDenied as denied:
            return self._refuse(admin, request, object_id, str(denied), status=403)
        except ValidationError as error:
            show_errors(form, error)
            return self._ask_again(request, form)
        if self.show is not None:
            return self.show(request, it)
        messages.success(request, str(self.done) % {"it": it, **answers})
        return _page_of(admin, object_id if self.ends_on == "row" else None)

    def _ask_again(self, request: HttpRequest, form: DialogForm) -> HttpResponse:
        """The dialog with its errors, from the template and the context of Unfold's decorator."""
        dialog = self._frame["dialog"]
        # What an action refuses because it is a secret does not come back.
        form.data = form.data.copy()
        for name, typed in form.data.lists():
            form.data.setlist(name, [without_secrets(text) for text in typed])
        context = {"dialog": dialog, "form": form, "form_submit_text": dialog["form_submit_text"]}
        return render(request, "unfold/helpers/dialog.html", context)

    def _refuse(
        self, admin: ModelAdmin, request: HttpRequest, object_id: str | None, words: str, *, status: int
    ) -> HttpResponse:
        messages.error(request, words)
        return _page_of(admin, object_id, status=status)


def _page_of(admin: ModelAdmin, object_id: str | None, *, status: int = 200) -> HttpResponse:
    name = f"admin:{admin.opts.app_label}_{admin.opts.model_name}"
    if object_id is None:
        return go_to(f"{name}_changelist", status=status)
    return go_to(f"{name}_change", object_id, status=status)
