"""Staff pages: versions of the rules, their rules in words, and putting them in force."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.admin import ReadOnly, ReadOnlyAdmin
from accounts.admin.base import Colors, more
from accounts.admin.dialogs import Dialog, DialogForm
from catalog import dry_run
from catalog.actions import rule_sets
from catalog.actions.evaluations import table_in_force
from catalog.models import AccessRequest, Rule, RuleSet, Track
from catalog.rule_forms import NoteForm, PlaceForm, RuleForm
from catalog.rule_words import conditions_in_words, outcome_in_words

STATES = Colors(draft="default", proposed="warning", in_force="success", superseded="default")


def dry_run_of(rule_set: RuleSet) -> SafeString:
    """What the version would change for the requests of the last 90 days, with links to the newest of them."""
    found = dry_run.dry_run(table_in_force(), rule_set.table)
    tracks = {track.code: track.label for track in Track.objects.all()}
    said = gettext("Requests of the last %(days)s days: %(tried)s. With another outcome: %(changed)s.") % {
        "days": dry_run.DAYS,
        "tried": f"{found.tried:,}",
        "changed": f"{found.changed:,}",
    }
    if found.is_cut:
        said += " " + gettext("Only the newest were tried.")
    rows = (
        (
            reverse("admin:catalog_accessrequest_change", args=[one.request]),
            AccessRequest(pk=one.request).reference,
            dry_run.in_words(one.before, tracks),
            dry_run.in_words(one.after, tracks),
        )
        for one in found.shown
    )
    return format_html("<p>{}</p>{}", said, format_html_join("", '<p><a href="{}">{}</a> {} → {}</p>', rows))


class InForceForm(DialogForm):
    """Shows what the version would have changed, before it is put in force."""

    def render_before_template(self) -> SafeString:
        found = RuleSet.objects.filter(pk=self.object_id, state=RuleSet.State.PROPOSED).first()
        shown = dry_run_of(found) if found else ""
        return format_html("{}{}", super().render_before_template(), shown)


class RuleColumns:
    """A rule in words."""

    @display(description=pgettext_lazy("rule", "If"))
    def conditions(self, rule: Rule) -> str:
        rows = [(one,) for one in conditions_in_words(rule)]
        return format_html_join("", "<p>{}</p>", rows) or str(_("For every request."))

    @display(description=pgettext_lazy("rule", "Then"))
    def follows(self, rule: Rule) -> str:
        return outcome_in_words(rule, {rule.track.code: rule.track.label} if rule.track else {})


class RuleInline(RuleColumns, ReadOnly, TabularInline):  # type: ignore[misc]
    """The rules of a version, in their order."""

    model = Rule
    fields = readonly_fields = ["position", "conditions", "follows"]
    extra = 0
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rule]:
        rows: QuerySet[Rule] = super().get_queryset(request)
        return rows.select_related("tenant", "track", "rule_set").order_by("position")


@admin.register(RuleSet)
class RuleSetAdmin(ReadOnlyAdmin):
    page_badge = "state_label"
    list_display = ["version", "state_label", "note", "proposed_by", "put_in_force_by", "in_force_at"]
    list_filter = ["state"]
    list_select_related = ["proposed_by", "put_in_force_by"]
    ordering = ["-pk"]
    fields = [
        "version", "state_label", "note", "others", "created_by", "created_at", "proposed_by", "proposed_at",
        "put_in_force_by", "in_force_at", "superseded_at", "dry_run",
    ]  # fmt: skip
    readonly_fields = fields
    inlines = [RuleInline]
    actions_detail = ["add_rule", "propose", "put_in_force", more("copy", "put_back", "remove")]

    @display(description=_("State"), label=STATES)
    def state_label(self, rule_set: RuleSet) -> tuple[str, str]:
        return rule_set.state, rule_set.get_state_display()

    @display(description=_("All other requests"))
    def others(self, rule_set: RuleSet) -> str:
        track = Track.objects.filter(code=rule_set.other_track_id).first()
        return (
            outcome_in_words(Rule(outcome="review", track=track), {track.code: track.label}) if track else "—"
        )

    @display(description=_("Dry run"))
    def dry_run(self, rule_set: RuleSet) -> str:
        """Whose outcome would change, before the version is in force."""
        is_to_come = rule_set.state in (RuleSet.State.DRAFT, RuleSet.State.PROPOSED)
        return dry_run_of(rule_set) if is_to_come else "—"

    copy = Dialog(
        rule_sets.copy_rule_set,
        label=_("Copy"),
        url_path="copy",
        icon="content_copy",
        form=NoteForm,
        title=_("Copy these rules?"),
        text=_(
            "The copy is a draft: change its rules, then propose it. Nothing changes until it is in force."
        ),
        button=_("Copy"),
        done=_("Copied: %(it)s"),
        ends_on="list",
    )
    add_rule = Dialog(
        rule_sets.add_rule,
        label=_("Add a rule"),
        url_path="add-rule",
        icon="add",
        form=RuleForm,
        title=_("Add a rule"),
        text=_("It stands at the end of this draft."),
        button=_("Add"),
        done=_("Added: %(it)s"),
    )
    propose = Dialog(
        rule_sets.propose_rule_set,
        label=_("Propose"),
        url_path="propose",
        title=_("Propose these rules?"),
        text=_("They stay as they are from now on. Another person can put them in force, or return them."),
        button=_("Propose"),
        done=_("Proposed: %(it)s"),
    )
    put_back = Dialog(
        rule_sets.return_rule_set,
        label=_("Return"),
        url_path="return",
        title=_("Return these rules?"),
        text=_("They are a draft again, and can be changed and proposed."),
        button=_("Return"),
        done=_("Returned: %(it)s"),
    )
    put_in_force = Dialog(
        rule_sets.put_rule_set_in_force,
        label=_("Put in force"),
        url_path="put-in-force",
        form=InForceForm,
        title=_("Put these rules in force?"),
        text=_(
            "They hold for new requests at once, and for open ones from their next decision on. The person who "
            "proposed them cannot do this."
        ),
        button=_("Put in force"),
        done=_("In force: %(it)s"),
    )
    remove = Dialog(
        rule_sets.delete_rule_set,
        label=_("Delete"),
        url_path="remove",
        is_dangerous=True,
        ends_on="list",
        title=_("Delete this draft?"),
        text=_("Its rules are deleted with it."),
        button=_("Delete"),
        done=_("Deleted: %(it)s"),
    )


@admin.register(Rule)
class RuleAdmin(RuleColumns, ReadOnlyAdmin):
    list_display = ["__str__", "conditions", "follows"]
    list_select_related = ["rule_set", "track", "tenant"]
    ordering = ["-pk"]
    fields = readonly_fields = ["rule_set", "position", "conditions", "follows", "sentence"]
    actions_detail = ["edit", "move", "remove"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("rule_set", "track", "tenant")

    edit = Dialog(
        rule_sets.change_rule,
        label=_("Change"),
        url_path="change-rule",
        form=RuleForm,
        title=_("Change this rule"),
        text=_("Only the rules of a draft can be changed."),
        button=_("Save"),
        done=_("Saved: %(it)s"),
    )
    move = Dialog(
        rule_sets.move_rule,
        label=_("Move"),
        url_path="move",
        form=PlaceForm,
        title=_("Move this rule"),
        text=_("The other rules keep their order."),
        button=_("Move"),
        done=_("Moved: %(it)s"),
    )
    remove = Dialog(
        rule_sets.delete_rule,
        label=_("Delete"),
        url_path="remove",
        is_dangerous=True,
        ends_on="list",
        title=_("Delete this rule?"),
        text=_("The rules after it move up."),
        button=_("Delete"),
        done=_("Deleted from version %(it)s"),
    )
