"""The kinds of file. The app that knows a file's content declares its kind, and registers it at startup.

Every other module here gets what it does not know from the kind, so a new kind changes nothing in this package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from rest_framework.serializers import Field

from accounts.declared import Action
from tenants.roles import TokenScope

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


@dataclass(frozen=True)
class Prepared:
    """What a kind provides to write its file. `statement` is a COPY to standard output, with its `values`."""

    rows: int
    statement: str
    values: dict[str, Any] | None = None
    # The sum of the file's amounts, if it has any.
    total: Decimal | None = None


@dataclass(frozen=True)
class FileKind:
    """One kind of file.

    `action` is the action that orders such a file. Its subject is a draft of the export. A download requires the same
    permission: in the tenant, or on the platform for a file over all tenants. `list_page` and `ask_page` are names of
    routes below /t/<tenant>/: the page that lists such files, and the page with the form that orders one.

    A token needs `scope`, besides the scope of the API's route, to order, see or download such files.

    `prepare(cursor, export)` runs in the snapshot from which the file is written. `ask(tenant, asked, *, by, project)`
    queues a file from the data of an API request: `kind`, `format`, `start`, `end` and the kind's own `api_fields()`.
    `describe(export)` says what the file contains besides its days. `form_of(export)` returns the data for the form
    at `ask_page` that orders the same file again.
    """

    # The name in the API and in the column `kind`.
    name: str
    label: StrOrPromise
    action: Action[Any, Any, Any]
    scope: TokenScope
    # The beginning of the file's name.
    file_name: str
    list_page: str
    ask_page: str
    prepare: Callable[..., Prepared]
    ask: Callable[..., Any]
    describe: Callable[..., str]
    form_of: Callable[..., dict[str, str]]
    api_fields: Callable[[], dict[str, Field[Any, Any, Any, Any]]] = field(default=dict)
    suffix: str = "csv"
    # True if no such file over all tenants exists.
    is_of_one_tenant: bool = False
    # True if a file may be limited to one project of its tenant.
    has_projects: bool = False
    # True if only people with the permission may know that such a file exists.
    is_confidential: bool = False
    # True for the kind that the API uses if a request names none.
    is_default: bool = False

    @property
    def permission(self) -> str:
        """The permission to order such a file and to download it."""
        return self.action.permission


_kinds: dict[str, FileKind] = {}
PERMISSIONS: Final[list[str]] = []  # of all registered kinds


def register(*kinds: FileKind) -> None:
    """Register kinds of file. Call this from AppConfig.ready."""
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
    """The kind that the API uses if a request names none."""
    return next(kind for kind in _kinds.values() if kind.is_default)


def choices() -> list[tuple[str, StrOrPromise]]:
    """Every kind as a choice of a form or column."""
    return [(kind.name, kind.label) for kind in _kinds.values()]
