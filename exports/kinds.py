"""The kinds of file. The app that knows what is in a file declares its kind, and registers it when it is ready.

Every other module here asks a kind for what it cannot know itself, so that a new kind changes nothing in this package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from rest_framework.serializers import Field

from accounts.declared import Action

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class Prepared:
    """What a kind hands over for its file to be written: `statement` is a COPY to standard output, with its values."""

    rows: int
    statement: str
    values: dict[str, Any] | None = None
    # The sum of the file's amounts, where it has any.
    total: Decimal | None = None


@dataclass(frozen=True)
class FileKind:
    """One kind of file.

    `action` is how people ask for such a file. Its subject is a draft of the export, and whoever downloads the file
    needs its permission too: in the tenant, or on the platform for a file over all tenants. `list_page` and `ask_page`
    are names of routes below /t/<tenant>/: the page that lists such files, and the one whose form asks for one.

    `prepare(cursor, export)` runs in the snapshot that the file is written from. `ask(tenant, asked, *, by, project)`
    queues a file with what the API was sent: `kind`, `format`, `start`, `end` and the kind's own `api_fields()`.
    `describe(export)` says what the file holds besides its days. `form_of(export)` is what the form at `ask_page` is
    sent to ask for the same file again.
    """

    # As the API and the column `kind` say it.
    name: str
    label: StrOrPromise
    action: Action[Any, Any, Any]
    # What the file's name begins with.
    file_name: str
    list_page: str
    ask_page: str
    prepare: Callable[..., Prepared]
    ask: Callable[..., Any]
    describe: Callable[..., str]
    form_of: Callable[..., dict[str, str]]
    api_fields: Callable[[], dict[str, Field[Any, Any, Any, Any]]] = field(default=dict)
    suffix: str = "csv"
    # There is no such file over all tenants.
    is_of_one_tenant: bool = False
    # Only people with the permission may know that there is such a file.
    is_confidential: bool = False
    # What the API takes when no kind is named.
    is_default: bool = False

    @property
    def permission(self) -> str:
        """What a person needs to ask for such a file, and to download it."""
        return self.action.permission


_kinds: dict[str, FileKind] = {}
PERMISSIONS: Final[list[str]] = []  # of all registered kinds


def register(*kinds: FileKind) -> None:
    """Make kinds of file known; from AppConfig.ready."""
    for kind in kinds:
        _kinds[kind.name] = kind
        if kind.permission not in PERMISSIONS:
            PERMISSIONS.append(kind.permission)


def kind_named(name: str) -> FileKind:
    """The registered kind of that name. Raises KeyError for a kind whose app is not installed."""
    return _kinds[name]


def all_kinds() -> list[FileKind]:
    """Every registered kind, in the order of the apps."""
    return list(_kinds.values())


def default_kind() -> FileKind:
    """The kind that the API takes when none is named."""
    return next(kind for kind in _kinds.values() if kind.is_default)


def choices() -> list[tuple[str, StrOrPromise]]:
    """Every kind as a choice of a form or column."""
    return [(kind.name, kind.label) for kind in _kinds.values()]
