"""Dialogs of the admin: each explains an action, asks for its arguments, and calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import action as unfold_action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.admin.base import offers
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
        """What stands above the fields: errors of the form as a whole, and what the dialog itself shows."""
        above = render_to_string("admin/accounts/_errors.html", {"errors": self.non_field_errors()})
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
    with `by`. Its address answers htmx with a part, which opens over the page, and everybody else with a whole page:
    in a tab of its own, or without JavaScript.

    If the action raises Conflict or PermissionDenied, the page of the row shows why, or the whole page does, with
    status 409 or 403. If it raises ValidationError or the form is invalid, the dialog comes back with what was typed
    and the errors beside their fields. A whole page has status 422 then, a part 200, because htmx shows no page of
    the admin with another.
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
        show: Callable[[Any], SafeString] | None = None,
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
            show: instead of `done`, returns what the dialog shows of the action's result, such as a secret.
        """
        if is_dangerous:
            form = type(f"Dangerous{form.__name__}", (Dangerous, form), {})
        self.action, self.form, self.done, self.show, self.ends_on = action, form, done, show, ends_on
        self.call = call or action
        self.title, self.text, self.button = title, text, button
        self._frame = {
            "description": label,
            "url_path": url_path,
            "icon": icon,
            "variant": ActionVariant.DANGER if is_dangerous else ActionVariant.DEFAULT,
        }

    def __set_name__(self, owner: type, name: str) -> None:
        """Replace the dialog by the method that Unfold expects, because it finds actions by the names of methods."""

        def method(admin: ModelAdmin, request: HttpRequest, **row: str) -> HttpResponse:
            response = self.answer(Asked(admin, request, **row))
            patch_vary_headers(response, ["HX-Request"])
            return response

        def is_permitted(admin: ModelAdmin, request: HttpRequest, object_id: object = None) -> bool:
            return self.action.is_for(request.user)

        method.__name__ = name
        in_place = offers(self.action)(unfold_action(**self._frame, permissions=[f"{name}_dialog"])(method))
        in_place.dialog = self
        setattr(owner, f"has_{name}_dialog_permission", is_permitted)
        setattr(owner, name, in_place)

    def answer(self, asked: Asked) -> HttpResponse:
        """Ask, or carry out what a valid form says.

        Raises ValidationError for a primary key that can be none (the answer is 400), and Http404 for a whole page
        about a row that the person does not see.
        """
        form = self.form(data=asked.request.POST or None, request=asked.request, object_id=asked.object_id)
        return self.carry_out(asked, form) if form.is_valid() else self._ask(asked, form)

    def carry_out(self, asked: Asked, form: DialogForm) -> HttpResponse:
        """Call the action, report success or the reason for failure, and go to the page of the row or the list.

        If the action finds the answers wrong, the dialog stays open instead. Raises as `answer` does.
        """
        answers = form.answers()
        row = () if asked.object_id is None else (asked.object_id,)
        if asked.object_id is not None:
            # An id that is none is no answer of the form. The request is malformed.
            asked.admin.opts.pk.to_python(asked.object_id)
        try:
            it = self.call(*row, by=signed_in(asked.request), **answers)
        except Conflict as conflict:
            return self._refuse(asked, form, conflict.message, status=409)
        except PermissionDenied as denied:
            return self._refuse(asked, form, str(denied), status=403)
        except ValidationError as error:
            show_errors(form, error)
            return self._ask(asked, form)
        if self.show is not None:
            return self._present(asked, self.show(it))
        messages.success(asked.request, str(self.done) % {"it": it, **answers})
        return asked.leave(to_row=self.ends_on == "row")

    def _ask(self, asked: Asked, form: DialogForm, *, status: int = 422) -> HttpResponse:
        """The dialog; with its errors, if the form was sent."""
        if form.is_bound:
            # What an action refuses because it is a secret does not come back.
            form.data = form.data.copy()
            for name, typed in form.data.lists():
                form.data.setlist(name, [without_secrets(text) for text in typed])
        if asked.is_part:
            context = {"title": self.title, "text": self.text, "button": self.button, "form": form}
            return render(asked.request, "unfold/helpers/dialog.html", context)
        page: HttpResponse = asked.admin.form_page(
            asked.request,
            form,
            title=self.title,
            button=self.button,
            hint=self.text,
            row=asked.row,
            status=status if form.is_bound else 200,
        )
        return page

    def _present(self, asked: Asked, shown: SafeString) -> HttpResponse:
        """Show something of the result once, in the place of the form. No cache keeps it."""
        template = "unfold/helpers/dialog.html" if asked.is_part else "admin/accounts/shown.html"
        context = {"title": self._frame["description"], "shown": shown}
        if not asked.is_part:
            context |= asked.admin.frame_of_page(asked.request, asked.row)
        response = render(asked.request, template, context)
        add_never_cache_headers(response)
        return response

    def _refuse(self, asked: Asked, form: DialogForm, words: str, *, status: int) -> HttpResponse:
        if not asked.is_part:
            form.add_error(None, words)
            return self._ask(asked, form, status=status)
        messages.error(asked.request, words)
        return asked.leave(to_row=True, status=status)


@dataclass(frozen=True)
class Asked:
    """A request to a dialog's address: whose button it was, and on which row; None on a list."""

    admin: Any
    request: HttpRequest
    object_id: str | None = None

    @property
    def is_part(self) -> bool:
        """Whether htmx asks, which puts a part into the page; else the answer is a whole page."""
        return self.request.headers.get("HX-Request") == "true"

    @cached_property
    def row(self) -> Any:
        """The row of the page; None on a list. Raises Http404 if the person does not see it."""
        if self.object_id is None:
            return None
        row = self.admin.get_object(self.request, self.object_id)
        if row is None:
            raise Http404
        return row

    def leave(self, *, to_row: bool, status: int = 200) -> HttpResponse:
        """Go to the page of the row, or the list: htmx by itself, whatever the status, or the browser."""
        name = f"admin:{self.admin.opts.app_label}_{self.admin.opts.model_name}"
        on_row = to_row and self.object_id is not None
        address = (
            reverse(f"{name}_change", args=[self.object_id]) if on_row else reverse(f"{name}_changelist")
        )
        if self.is_part:
            return HttpResponse(status=status, headers={"HX-Redirect": address})
        return HttpResponseRedirect(address)
