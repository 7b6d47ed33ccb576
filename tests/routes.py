"""Every route of the console, read from the URL configuration itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern
from django.utils.regex_helper import normalize


@dataclass(frozen=True)
class Route:
    """One route: its address with %(parameter)s, its name with namespace, and the view behind it."""

    path: str
    name: str
    callback: Any

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} /{self.path}"

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"%\((\w+)\)s", self.path)

    @property
    def view(self) -> type | None:
        """The class behind the route, for pages (view_class), the API (cls) and the admin (model_admin)."""
        view = getattr(self.callback, "view_class", None) or getattr(self.callback, "cls", None)
        if view is None and hasattr(self.callback, "model_admin"):
            view = type(self.callback.model_admin)
        return view

    @property
    def model(self) -> Any:
        """The model whose rows the view shows, as far as it says so."""
        if hasattr(self.callback, "model_admin"):
            return getattr(self.callback.model_admin, "model", None)
        model = getattr(self.view, "model", None)
        if model is None and getattr(self.view, "queryset", None) is not None:
            model = self.view.queryset.model
        if model is None and (place := re.match(r"admin/(\w+)/(\w+)/", self.path)):
            # A page that an admin adds to Django's own.
            model = apps.all_models[place[1]].get(place[2])
        return model

    @property
    def is_admin(self) -> bool:
        return self.path.startswith("admin/")

    @property
    def is_api(self) -> bool:
        return self.path.startswith("api/")

    @property
    def is_portal(self) -> bool:
        return self.path.startswith("t/")

    @property
    def is_internal(self) -> bool:
        # Gateways and directories: own tokens.
        return self.path.startswith(("internal/", "scim/"))

    @property
    def is_directory(self) -> bool:
        return self.path.startswith("scim/")

    @property
    def methods(self) -> list[str]:
        """The methods that the API route has, else get and post."""
        return sorted(set(getattr(self.callback, "actions", None) or ["get", "post"]) - {"head"})

    def key_of(self, row: Any, parameter: str) -> str:
        """The text by which the view looks its row up."""
        view = self.view
        field = "pk"
        if parameter == getattr(view, "lookup_url_kwarg", None) or parameter == getattr(
            view, "lookup_field", None
        ):
            field = view.lookup_field
        elif parameter == getattr(view, "slug_url_kwarg", None):
            field = view.slug_field
        return str(getattr(row, field))


def all_routes() -> list[Route]:
    """Every route, in the order of the URL configuration."""
    return list(_walk(get_resolver(), "", ""))


def _walk(resolver: URLResolver, prefix: str, namespace: str) -> Iterator[Route]:
    for entry in resolver.url_patterns:
        path = prefix + _text(entry)
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from _walk(entry, path, inner)
        else:
            yield Route(path, f"{namespace}{entry.name}" if entry.name else "", entry.callback)


def _text(entry: URLPattern | URLResolver) -> str:
    if isinstance(entry.pattern, RoutePattern):
        return re.sub(r"<(?:\w+:)?(\w+)>", r"%(\1)s", str(entry.pattern).replace("%", "%%"))
    return normalize(entry.pattern.regex.pattern)[0][0]
