"""Staff pages: the entries of an import, which people accept, correct or reject."""

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
from accounts.admin.base import link, offers
from accounts.admin.dialogs import Dialog
from accounts.permissions import signed_in
from catalog.actions import accept_entries, import_entries, reject_entries
from catalog.admin.imports import COLORS_OF_STATES, ForImporters, decided_in_words, labels_of
from catalog.import_forms import DecideFoundForm, EditEntryForm
from catalog.import_words import changes_of
from catalog.models import CatalogImport, ImportEntry
from catalog.price_map.verdicts import CODES, in_words
from core.dates import DASH
from core.errors import Conflict
from core.templatetags.qm import full


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
class ImportEntryAdmin(ForImporters, ReadOnlyAdmin):
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

    @display(description=_("State"), label=COLORS_OF_STATES)
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
        return labels_of(entry.differs) or DASH

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
                messages.success(request, decided_in_words(decided))
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


def _list() -> str:
    return reverse("admin:catalog_importentry_changelist")
