"""Staff pages: imports of the catalog, and their entries, which people accept, correct or reject."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action as unfold_action
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors, link, offers
from accounts.admin.dialogs import Dialog
from accounts.permissions import signed_in
from audit.detail_words import detail_in_words
from catalog.actions import accept_entries, import_entries, reject_entries, start_import, undo_import
from catalog.actions.imports import Decided
from catalog.admin.offered import lines
from catalog.import_forms import AcceptForm, DecideFoundForm, EditEntryForm, UploadForm
from catalog.import_words import changes_of
from catalog.model_facts import FACTS
from catalog.models import CatalogImport, ImportEntry
from catalog.price_map.reading import UnreadableFile
from catalog.price_map.verdicts import CODES, in_words
from catalog.provenance import SOURCES
from core.dates import DASH
from core.errors import Conflict
from core.joined import listed
from core.stored_words import retold
from core.templatetags.qm import full
from core.text_files import UnreadableText

_COLORS = Colors(held="warning", accepted="success", rejected="danger", open="warning", busy="info")


class _ForImporters:
    """Mixed into admins that people with the right to import see."""

    view_permission = start_import.permission

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return start_import.is_for(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


def _said(decided: Decided) -> str:
    """What a decision about many entries did, in a sentence."""
    if decided.is_busy:
        return gettext("%(entries)s entries are being carried out. Reload this page in a minute.") % {
            "entries": full(decided.entries)
        }
    return ngettext("%(total)s entry", "%(total)s entries", decided.entries) % {
        "total": full(decided.entries)
    }


def _accept(pk: str, **said: Any) -> str:
    return _said(accept_entries(pk, in_background=True, **said))


def _reject(pk: str, **said: Any) -> str:
    return _said(reject_entries(pk, **said))


def _undo(pk: str, **said: Any) -> str:
    return _said(undo_import(pk, in_background=True, **said))


@admin.register(CatalogImport)
class CatalogImportAdmin(_ForImporters, ReadOnlyAdmin):
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

    @display(description=_("State"), label=_COLORS)
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
            (model, gettext("an operator says otherwise: %(facts)s") % {"facts": _labels(facts)})
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


class VerdictFilter(admin.SimpleListFilter):
    """Entries that are held back for one reason."""

    title, parameter_name = _("reason"), "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(CODES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(held_for__contains=[{"code": self.value()}]) if self.value() else queryset


class DiffersFilter(admin.SimpleListFilter):
    """Entries of which an operator says otherwise."""

    title, parameter_name = pgettext_lazy("source of a fact", "operator"), "differs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Says otherwise"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.exclude(differs=[]) if self.value() == "yes" else queryset


@admin.register(ImportEntry)
class ImportEntryAdmin(_ForImporters, ReadOnlyAdmin):
    page_badge = "state_label"
    list_display = ["key", "kind_label", "state_label", "reasons", "changes", "otherwise"]
    list_filter = ["state", "kind", VerdictFilter, DiffersFilter]
    search_fields = ["key", "model_name"]
    sort_columns = {"of_run": F("run_id")}
    fields = readonly_fields = [
        "key", "model_name", "provider", "import_link", "kind_label", "reasons", "changes", "otherwise", "edited",
        "decided_at", "decided_by",
    ]  # fmt: skip
    actions_list = ["decide_found"]
    actions_detail = ["accept", "edit", "reject"]

    def get_ordering(self, request: HttpRequest) -> list[str]:
        return ["-of_run", "place"]

    @display(description=_("Change"))
    def kind_label(self, entry: ImportEntry) -> str:
        return entry.get_kind_display()

    @display(description=_("State"), label=_COLORS)
    def state_label(self, entry: ImportEntry) -> tuple[str, str]:
        return entry.state, entry.get_state_display()

    @display(description=_("Held back because"))
    def reasons(self, entry: ImportEntry) -> str:
        return _paragraphs(map(in_words, entry.held_for))

    @display(description=_("What changes"))
    def changes(self, entry: ImportEntry) -> str:
        return (
            format_html_join(
                "",
                '<div><span class="t2">{}</span> <span class="wrap-any">{} → {}</span></div>',
                ((one.label, one.was, one.now) for one in changes_of(entry)),
            )
            or DASH
        )

    @display(description=_("An operator says otherwise"))
    def otherwise(self, entry: ImportEntry) -> str:
        return _labels(entry.differs) or DASH

    @display(description=_("Corrected by hand"), boolean=True)
    def edited(self, entry: ImportEntry) -> bool:
        return entry.is_edited

    @display(description=_("catalog import"))
    def import_link(self, entry: ImportEntry) -> str:
        return link("catalog_catalogimport_change", entry.run_id, text=entry.run)

    accept = Dialog(
        import_entries.accept_entry,
        label=pgettext_lazy("entries of an import", "Accept"),
        url_path="accept",
        title=_("Accept this entry?"),
        text=_("The offer, its model's facts and list prices become what the entry says."),
        button=pgettext_lazy("entries of an import", "Accept"),
        done=_("Accepted: %(it)s"),
    )
    edit = Dialog(
        import_entries.edit_entry,
        label=_("Correct"),
        url_path="correct",
        form=EditEntryForm,
        title=_("Correct what the entry says"),
        text=_("It is compared again, and waits until somebody accepts it."),
        button=_("Save"),
        done=_("Saved: %(it)s"),
    )
    reject = Dialog(
        import_entries.reject_entry,
        label=pgettext_lazy("entries of an import", "Reject"),
        url_path="reject",
        is_dangerous=True,
        title=_("Reject this entry?"),
        text=_("The catalog stays as it is. Later imports do not list the very same entry again."),
        button=pgettext_lazy("entries of an import", "Reject"),
        done=_("Rejected: %(it)s"),
    )

    @offers(accept_entries)
    @unfold_action(
        description=_("Decide all found"),
        url_path="decide-found",
        icon="checklist",
        permissions=["decide_found"],
    )
    def decide_found(self, request: HttpRequest) -> HttpResponse:
        """Accept or reject all open entries that the list finds, of one import. A POST does it if they are the same."""
        person = signed_in(request)
        accept_entries.require_permission(person, CatalogImport())
        try:
            found = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{_list()}?e=1")
        rows = found.queryset.filter(state__in=ImportEntry.OPEN).order_by("place")
        entries = list(rows.values_list("pk", "run_id", "state"))
        runs = {run for _pk, run, _state in entries}
        held = sum(state == ImportEntry.State.HELD for *_rest, state in entries)
        expected = f"{len(entries)}-{held}-{min(runs, default='')}"
        form = DecideFoundForm(request.POST or None, initial={"expected": expected})
        status = 422
        if len(runs) != 1:
            form.full_clean()
            words = gettext("Narrow the list to entries of one import that are open.")
            form.is_bound = True
            form.add_error(None, words)
        elif form.is_valid():
            said = form.cleaned_data
            try:
                if said["expected"] != expected:
                    raise Conflict(
                        gettext("The entries have changed since you opened this page. Check again.")
                    )
                chosen = [pk for pk, *_rest in entries]
                if said["verdict"] == "reject":
                    decided = reject_entries(runs.pop(), by=person, entries=chosen)
                else:
                    decided = accept_entries(
                        runs.pop(),
                        by=person,
                        entries=chosen,
                        may_take_held=said["may_take_held"],
                        in_background=True,
                    )
            except Conflict as conflict:
                form.add_error(None, conflict.message)
                form.expect(expected)
                status = 409
            else:
                messages.success(request, _said(decided))
                return redirect("admin:catalog_catalogimport_change", decided.run.pk)
        hint = ngettext(
            "%(total)s open entry is found, %(held)s of them held back.",
            "%(total)s open entries are found, %(held)s of them held back.",
            len(entries),
        ) % {"total": full(len(entries)), "held": full(held)}
        return self.form_page(
            request,
            form,
            title=gettext("Decide all found"),
            button=gettext("Decide"),
            hint=hint,
            status=status,
        )

    def has_decide_found_permission(self, request: HttpRequest) -> bool:
        return accept_entries.is_for(request.user)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list. Its button to decide all found leads to a page with the same search and filters."""
        answer: HttpResponse = super().changelist_view(request, extra_context)
        page = reverse("admin:catalog_importentry_decide_found")
        context: Any = getattr(answer, "context_data", None) or {}
        for button in context.get("actions_list", []):
            if button.get("path") == page:
                button["path"] = f"{page}?{request.GET.urlencode()}"
        return answer


def _paragraphs(sentences: Any) -> str:
    return format_html_join("", "<div>{}</div>", ((one,) for one in sentences)) or DASH


def _labels(facts: list[str]) -> str:
    return listed([str(FACTS[fact].label) for fact in facts if fact in FACTS])


def _list() -> str:
    return reverse("admin:catalog_importentry_changelist")
