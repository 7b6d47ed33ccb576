"""The query parameters that each route of the HTTP API takes; it refuses any other, which would be ignored.

A filter with a typing error would otherwise show everything that its sender may see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import django_filters
from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.serializers import Serializer, ValidationError
from rest_framework.settings import api_settings

from core.filters import RepeatableTextFilter
from core.serializers import LONGEST_NAMED, MOST_NAMED

F = TypeVar("F", bound=Callable[..., Any])
# By name: whether it may be repeated.
Parameters = Mapping[str, bool]
EVERYWHERE: Final[Parameters] = {str(api_settings.URL_FORMAT_OVERRIDE): False}
_OF_LISTS: dict[type, Parameters] = {}


def takes(
    *parameters: OpenApiParameter | type[Serializer[Any]], http_method: str = "GET"
) -> Callable[[F], F]:
    """Declare and document what a view's method reads of the query of a request.

    Args:
        parameters: a serializer stands for its fields.
        http_method: of the requests that are meant. A HEAD is read as a GET.
    """
    names: dict[str, bool] = {}
    for one in parameters:
        if not isinstance(one, OpenApiParameter):
            names |= dict.fromkeys(one().fields, False)
        elif one.location == OpenApiParameter.QUERY:
            names[one.name] = bool(one.many)

    def declare(method: F) -> F:
        method.takes = {**getattr(method, "takes", {}), http_method: names}  # type: ignore[attr-defined]
        documented: F = extend_schema(methods=[http_method], parameters=list(parameters))(method)
        return documented

    return declare


def query_of(request: Request) -> dict[str, str]:
    """The query for a serializer, which refuses its empty parameters. Those of a `QueryDict` it takes as left out."""
    said: dict[str, str] = request.query_params.dict()
    return said


class KnownParameters(BasePermission):
    """Refuses parameters that the route does not read, and one that is repeated where a single value is meant.

    A permission, because that is what each view checks once it knows who asks; before it looks for a row, so the answer
    depends on the route alone. Raises ValidationError that names each of them.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        known = parameters_of(view, request.method or "")
        if known is None:
            return True
        wrong: dict[str, list[str]] = {}
        for name, values in request.query_params.lists():
            if name not in known:
                wrong[name[:LONGEST_NAMED]] = [_unknown(known)]
            elif len(values) > 1 and not known[name]:
                wrong[name] = [_("This parameter takes one value.")]
        if wrong:
            raise ValidationError(dict(list(wrong.items())[:MOST_NAMED]))
        return True


def _unknown(known: Parameters) -> str:
    names = ", ".join(sorted(known.keys() - EVERYWHERE.keys()))
    if not names:
        return _("This address takes no parameters.")
    return _("There is no such parameter here. This address takes: %(names)s.") % {"names": names}


def parameters_of(view: Any, method: str) -> Parameters | None:
    """What `view` reads of the query of a request by `method`; None if it has no such method, or only describes itself.

    A list reads its filters and its place in the pages, any other route what `takes` declares.
    """
    name = getattr(view, "action", None) or method.lower()
    handler = getattr(view, name, None)
    if handler is None or method == "OPTIONS":
        return None
    declared: Parameters = getattr(handler, "takes", {}).get("GET" if method == "HEAD" else method, {})
    of_list = _of_list(view) if name == "list" and method in ("GET", "HEAD") else {}
    return {**EVERYWHERE, **declared, **of_list}


def _of_list(view: Any) -> Parameters:
    """The filters of a list, which are those of its class, and the parameters of its pages."""
    if type(view) not in _OF_LISTS:
        found: dict[str, bool] = {}
        if view.paginator is not None:
            paging = (view.paginator.cursor_query_param, view.paginator.page_size_query_param)
            found |= dict.fromkeys(paging, False)
        for backend in view.filter_backends:
            if issubclass(backend, DjangoFilterBackend):
                filters = backend().get_filterset_class(view, view.get_queryset())
                found |= {
                    name: isinstance(one, django_filters.MultipleChoiceFilter | RepeatableTextFilter)
                    for name, one in (filters.get_filters() if filters else {}).items()
                }
        _OF_LISTS[type(view)] = found
    return _OF_LISTS[type(view)]
