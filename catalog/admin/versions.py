"""Staff pages: versions of models."""

from __future__ import annotations

import shlex

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors
from accounts.admin.dialogs import Dialog
from catalog.actions import versions
from catalog.models import ModelVersion
from catalog.modes import mode_label
from catalog.version_forms import NewVersionForm, VersionForm
from catalog.version_uses import use_of
from core.dates import DASH
from core.joined import listed


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ["name", "state", "precision", "format", "parameters", "base", "for_whom", "created_at"]
    list_filter = ["format", "visibility"]
    search_fields = ["model__name", "org", "version"]
    list_select_related = ["model", "base__model"]
    ordering = ["-created_at"]
    page_badge = "state"
    fields = [
        "name", "model", "base", "adapters", "digest", "precision", "format", "parameters", "context_tokens",
        "upstream_name", "image", "words_of_command", "further", "gpus_per_replica", "memory", "for_whom", "deployed",
        "created_at", "retired_at",
    ]  # fmt: skip
    readonly_fields = fields
    actions_list = ["add_version"]
    actions_detail = ["edit", "retire"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        rows: QuerySet[ModelVersion] = super().get_queryset(request)
        return rows.select_related("model", "base__model")

    @display(description=_("Name"), ordering="model__name")
    def name(self, version: ModelVersion) -> str:
        return version.full_name

    @display(description=_("State"), label=Colors(retired="danger"))
    def state(self, version: ModelVersion) -> tuple[str, str] | None:
        return ("retired", gettext("Retired")) if version.is_retired else None

    @display(description=_("Offered to"), ordering="visibility")
    def for_whom(self, version: ModelVersion) -> str:
        return listed(version.only_for) or version.get_visibility_display()

    @display(description=_("Adapters"))
    def adapters(self, version: ModelVersion) -> str:
        rows = version.adapters.select_related("model").order_by("pk")[:25]
        return listed(one.full_name for one in rows) or DASH

    @display(description=_("Command"))
    def words_of_command(self, version: ModelVersion) -> str:
        return shlex.join(version.command) or gettext("the image's own")

    @display(description=_("Further endpoints"))
    def further(self, version: ModelVersion) -> str:
        return listed(mode_label(mode) for mode in version.endpoints) or DASH

    @display(description=_("Deployments"))
    def deployed(self, version: ModelVersion) -> str:
        use = use_of(version.pk)
        if use.living:
            return listed(sorted(use.living))
        return gettext("only former ones") if use.is_deployed else gettext("none")

    add_version = Dialog(
        versions.add_version,
        label=_("Add a version"),
        url_path="add-version",
        icon="add",
        form=NewVersionForm,
        title=_("Add a version of a model"),
        text=_("It can be deployed from now on. Nothing runs by that."),
        button=_("Add"),
        done=_("Added: %(it)s"),
    )
    edit = Dialog(
        versions.change_version,
        label=_("Edit"),
        url_path="edit",
        icon="edit",
        form=VersionForm,
        title=_("Edit this version"),
        text=_("Once it has been deployed, what it runs stays as it is. Then make another version instead."),
        button=_("Save"),
        done=_("Saved: %(it)s"),
    )
    retire = Dialog(
        versions.retire_version,
        label=_("Retire"),
        url_path="retire",
        is_dangerous=True,
        title=_("Retire this version?"),
        text=_("It is offered to nobody any more, and cannot be deployed again. Its deployments go on."),
        button=_("Retire"),
        done=_("%(it)s is retired."),
    )
