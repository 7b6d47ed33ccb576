"""The form and the part of the API of a setting that is a list."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.admin.dialogs import DialogForm
from accounts.declared import Action
from accounts.permissions import signed_in
from core.form_errors import show_errors
from deployments.list_settings import ListSetting
from tenants.roles import TokenScope


class LinesField(forms.CharField):
    """Texts as people write them, one per line; spaces and commas divide them, too."""

    widget = UnfoldAdminTextareaWidget

    def to_python(self, value: Any) -> Any:
        return [text for text in re.split(r"[\s,]+", super().to_python(value) or "") if text]


class ListSettingForm(DialogForm):
    """The list as it is, to edit. A subclass has a LinesField of the setting's name."""

    setting: ClassVar[ListSetting]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[self.setting.name].initial = "\n".join(self.setting.current())

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        try:
            cleaned[self.setting.name] = self.setting.clean(cleaned.get(self.setting.name, []))
        except ValidationError as error:
            show_errors(self, error)
        return cleaned


class ListSettingView(APIView):
    """The list, and replacing it. A subclass names the setting, its action, serializer and permission to read."""

    token_scope = TokenScope.PLATFORM
    setting: ClassVar[ListSetting]
    change: ClassVar[Action[None, ..., list[str]]]
    serializer_class: ClassVar[type[Serializer[Any]]]
    view_permission: ClassVar[str]

    def get(self, request: Request) -> Response:
        if not request.user.has_perm(self.view_permission):
            raise PermissionDenied(_("Only operators can see settings of the whole platform."))
        return Response({self.setting.name: self.setting.current()})

    def post(self, request: Request) -> Response:
        self.change.require(signed_in(request), None)
        wanted = self.serializer_class(data=request.data)
        wanted.is_valid(raise_exception=True)
        values = self.change(wanted.validated_data[self.setting.name], by=signed_in(request))
        return Response({self.setting.name: values})
