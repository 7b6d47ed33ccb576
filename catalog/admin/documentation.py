"""The page on which operators write the documentation of a model, with a preview."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action as unfold_action

from accounts.admin.base import offers, style
from accounts.permissions import signed_in
from catalog.actions.documents import clean_document, document_model
from catalog.models import ModelDocument
from core.errors import Conflict
from core.form_errors import show_errors
from core.markdown import LONGEST, cleaned, render_markdown


class DocumentForm(forms.Form):
    """The text, and the digest of the one that the page showed."""

    text = forms.CharField(
        label=_("Text in Markdown"),
        required=False,
        strip=False,
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 18}),
        help_text=_(
            "Headings, lists, tables, links and code. HTML is shown as text, and images by their descriptions."
        ),
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(self, data: Any, *, present: ModelDocument | None) -> None:
        shown = {"text": present.text, "seen": present.digest} if present else {}
        super().__init__(data, initial=shown)
        style(self, "text")


class DocumentationPage:
    """Mixed into the admin of models."""

    @offers(document_model)
    @unfold_action(
        description=_("Documentation"), url_path="documentation", icon="description", permissions=["document"]
    )
    def documentation(self: Any, request: HttpRequest, object_id: str) -> HttpResponse:
        """Write the documentation of a model. A POST with `preview` shows it, any other saves it."""
        person = signed_in(request)
        model = self.get_object(request, object_id)
        if model is None:
            raise Http404
        document_model.require(person, model)
        present = ModelDocument.objects.filter(model=model).first()
        form = DocumentForm(request.POST or None, present=present)
        html, status = cleaned(present.html) if present else "", 200
        if form.is_bound:
            status = 422
            if form.is_valid():
                try:
                    text = clean_document(form.cleaned_data["text"])
                    if "preview" not in request.POST:
                        document_model(model.pk, text=text, seen=form.cleaned_data["seen"], by=person)
                        return redirect("admin:catalog_catalogmodel_change", model.pk)
                    html, status = cleaned(render_markdown(text)), 200
                except ValidationError as error:
                    show_errors(form, error)
                except Conflict as conflict:
                    form.add_error(None, conflict.message)
                    status = 409
        title = gettext("Documentation of %(it)s") % {"it": model}
        context = self.frame_of_page(request, model) | {"title": title, "form": form, "html": html}
        return render(request, "admin/catalog/catalogmodel/documentation.html", context, status=status)

    def has_document_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return document_model.is_for(request.user)
