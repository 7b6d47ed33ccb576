"""Staff pages: imports of the catalog."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html_join
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action as unfold_action
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors, link, offers
from accounts.admin.dialogs import Dialog
from accounts.models import User
from accounts.permissions import signed_in
from audit.detail_words import detail_in_words
from catalog.actions import accept_entries, reject_entries, start_import, undo_import
from catalog.actions.imports import Decided
from catalog.admin.offered import lines
from catalog.import_forms import AcceptForm, UploadForm
from catalog.model_facts import FACTS
from catalog.models import CatalogImport, ImportEntry
from catalog.price_map.reading import UnreadableFile
from catalog.provenance import SOURCES
from core.joined import listed
from core.stored_words import retold
from core.templatetags.qm import full
from core.text_files import UnreadableText

COLORS_OF_STATES = Colors(held="warning", accepted="success", rejected="danger", open="warning", busy="info")


class ForImporters:
    """Mixed into admins that people with the right to import see."""

    view_permission = start_import.permission

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return start_import.is_for(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


def decided_in_words(decided: Decided) -> str:
    """What a decision about many entries did, in a sentence."""
    if decided.is_busy:
        return gettext("%(entries)s entries are being carried out. Reload this page in a minute.") % {
            "entries": full(decided.entries)
        }
    return ngettext("%(total)s entry", "%(total)s entries", decided.entries) % {
        "total": full(decided.entries)
    }


def labels_of(facts: list[str]) -> str:
    """The names of facts, in words."""
    return listed([str(FACTS[fact].label) for fact in facts if fact in FACTS])


def _accept(pk: str, *, by: User, may_take_held: bool) -> str:
    return decided_in_words(accept_entries(pk, by=by, may_take_held=may_take_held, in_background=True))


def _reject(pk: str, *, by: User) -> str:
    return decided_in_words(reject_entries(pk, by=by))


def _undo(pk: str, *, by: User) -> str:
    return decided_in_words(undo_import(pk, by=by, in_background=True))


@admin.register(CatalogImport)
class CatalogImportAdmin(ForImporters, ReadOnlyAdmin):
    page_badge = "state_label"
    list_display = [
        "at",
        "said_by",
        "file_name",
        "by",
        "state_label",
        "held",
        "added",
        "changed",
        "refused_entries",
    ]
    list_filter = ["state"]
    list_select_related = ["by"]
    ordering = ["-at"]
    fields = readonly_fields = [
        "at", "said_by", "file_name", "digest", "by", "diff", "numbers", "results", "refusals",
    ]  # fmt: skip
    actions_list = ["upload"]
    actions_detail = ["accept_all", "reject_all", "undo"]
    empty_title = _("No imports")
    empty_text = _("An import compares a file with the catalog. Nothing changes until you accept it.")

    @display(description=_("source"))
    def said_by(self, run: CatalogImport) -> str:
        return str(SOURCES.get(run.source, run.source))

    @display(description=_("State"), label=COLORS_OF_STATES)
    def state_label(self, run: CatalogImport) -> tuple[str, str]:
        return run.state, run.get_state_display()

    @display(description=_("Entries"))
    def diff(self, run: CatalogImport) -> str:
        """Links to the entries: all, and those of one state."""
        page = "catalog_importentry_changelist"
        of_run = f"?run__id__exact={run.pk}"
        labels = ImportEntry.State
        links = [link(page, text=gettext("All entries"), query=of_run)]
        states = set(run.entries.values_list("state", flat=True).distinct())
        links += [
            link(page, text=state.label, query=f"{of_run}&state__exact={state.value}")
            for state in labels
            if state.value in states
        ]
        return format_html_join(" · ", "{}", ((one,) for one in links))

    @display(description=_("Numbers"))
    def numbers(self, run: CatalogImport) -> str:
        return lines((detail_in_words(name), full(count)) for name, count in run.counts.items())

    @display(description=_("What acceptance did"))
    def results(self, run: CatalogImport) -> str:
        """Numbers, prices that could not be published, and facts and offers that stayed as somebody made them."""
        outcome = run.outcome
        rows: list[tuple[object, object]] = [
            (detail_in_words(name), full(value)) for name, value in outcome.items() if isinstance(value, int)
        ]
        rows += list(outcome.get("prices_refused", {}).items())[:100]
        rows += [
            (model, gettext("an operator says otherwise: %(facts)s") % {"facts": labels_of(facts)})
            for model, facts in list(outcome.get("kept", {}).items())[:100]
        ]
        rows += [(key, gettext("has changed since; it stays")) for key in outcome.get("overtaken", [])[:100]]
        return lines(rows)

    @display(description=_("Refused entries"))
    def refusals(self, run: CatalogImport) -> str:
        return lines((key, retold(reason)) for key, reason in run.refused.items())

    @display(description=pgettext_lazy("a number of entries", "Held back"))
    def held(self, run: CatalogImport) -> Any:
        return run.counts.get("held", 0)

    @display(description=pgettext_lazy("a number of entries", "Added"))
    def added(self, run: CatalogImport) -> Any:
        return run.counts.get("added")

    @display(description=_("Changed"))
    def changed(self, run: CatalogImport) -> Any:
        return run.counts.get("changed")

    @display(description=_("Refused"))
    def refused_entries(self, run: CatalogImport) -> int:
        return len(run.refused)

    @offers(start_import)
    @unfold_action(description=_("Import a file"), url_path="upload", icon="upload", permissions=["upload"])
    def upload(self, request: HttpRequest) -> HttpResponse:
        """Compare an uploaded file with the catalog, and go to the import."""
        person = signed_in(request)
        start_import.require(person, None)
        form = UploadForm(request.POST or None, request.FILES or None)
        if form.is_valid():
            file = form.cleaned_data["file"]
            try:
                run = start_import(
                    file.read(), file_name=file.name, format=form.cleaned_data["format"], by=person
                )
            except (UnreadableFile, UnreadableText) as error:
                form.add_error("file", str(error))
            else:
                return redirect("admin:catalog_catalogimport_change", run.pk)
        return self.form_page(
            request,
            form,
            title=gettext("Import a file"),
            button=gettext("Compare"),
            hint=gettext(
                "The file is compared with the catalog. Nothing changes until you accept what it says."
            ),
        )

    def has_upload_permission(self, request: HttpRequest) -> bool:
        return start_import.is_for(request.user)

    accept_all = Dialog(
        accept_entries,
        call=_accept,
        label=_("Accept all"),
        url_path="accept-all",
        form=AcceptForm,
        title=_("Accept all that waits?"),
        text=_(
            "Offers, facts and list prices become what the file says. Facts that an operator has entered stay, and no "
            "model is published. Changed prices begin at the next hour."
        ),
        button=_("Accept all"),
        done=_("Accepted: %(it)s"),
    )
    reject_all = Dialog(
        reject_entries,
        call=_reject,
        label=_("Reject all"),
        url_path="reject-all",
        is_dangerous=True,
        title=_("Reject all that is open?"),
        text=_("The catalog stays as it is. Later imports do not list the very same entries again."),
        button=_("Reject all"),
        done=_("Rejected: %(it)s"),
    )
    undo = Dialog(
        undo_import,
        call=_undo,
        label=_("Undo"),
        url_path="undo",
        is_dangerous=True,
        title=_("Undo this import?"),
        text=_(
            "Offers and facts become what they were before. What somebody or a later import has changed since stays, "
            "and is named. Former list prices begin again at the next hour."
        ),
        button=_("Undo"),
        done=_("Undone: %(it)s"),
    )
