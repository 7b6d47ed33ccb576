"""The machinery behind the role matrix: people, actions with their entry points, and what docs/roles.md says.

An action that the page does not list, a row that no action stands behind, an action nobody registered: each fails
tests/tenants/test_role_matrix.py with a message that says where to add it. Actions live in tests/actions/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from accounts.roles import StaffRole
from audit.models import AuditEntry
from audit.staff_reads import VERB
from tenants.roles import Role
from tests.factories import CatalogModelFactory, ProjectFactory, TenantFactory, member_of, staff

PAGE = Path(__file__).parents[1] / "docs" / "roles.md"
REFUSED = {"403", "404", "sign in"}


class World:
    """A tenant, one member of it for every role, another tenant with the same, and somebody of every staff role."""

    def __init__(self) -> None:
        self.tenant = TenantFactory(slug="lab", name="Lab")
        self.elsewhere = TenantFactory(slug="elsewhere", name="Elsewhere")
        self.project = ProjectFactory(tenant=self.tenant, slug="letters", name="Letters")
        self.model = CatalogModelFactory(name="glm-4.6", title="GLM-4.6")
        self.members = {role: member_of(self.tenant, role, name=f"{role} of lab") for role in Role.values}
        self.strangers = {
            role: member_of(self.elsewhere, role, name=f"{role} elsewhere") for role in Role.values
        }
        self.staff = {role: staff(role, name=role) for role in StaffRole.values}
        people = [*self.members.values(), *self.strangers.values(), *self.staff.values()]
        self.browsers = {person.pk: _signed_in(person) for person in people}

    def crowd(self, where: str) -> dict[str, Any]:
        """People by role: "here" (in the tenant), "elsewhere" (in another one), "staff"."""
        return {"here": self.members, "elsewhere": self.strangers, "staff": self.staff}[where]


@dataclass(frozen=True)
class EntryPoint:
    """A way to an action: method and address, whose {braces} are filled from `w` (the world) and `it` (the subject)."""

    request: str  # "POST /t/{w.tenant.slug}/keys/{it.pk}/claim/"
    # What is sent, filled in the same way; or a function of the world and the subject.
    data: Any = None
    # What the answer must show of the subject; a list without it hides the row, like a 404.
    shows: str = ""

    def knock(self, client: Client, world: World, it: Any) -> HttpResponse:
        method, _, path = self.request.partition(" ")
        path = path.format(w=world, it=it)
        data = self.data(world, it) if callable(self.data) else _filled(self.data or {}, world, it)
        if path.startswith("/api/"):
            kind = {} if method == "GET" else {"content_type": "application/json"}
            return getattr(client, method.lower())(path, data, **kind)
        return getattr(client, method.lower())(path, data)


@dataclass(frozen=True)
class Shell:
    """The action itself, for what has no other entry point yet: called with the world, the actor and the subject."""

    call: Callable[[World, Any, Any], Any]


def _filled(data: Any, world: World, it: Any) -> Any:
    if isinstance(data, dict):
        return {name: _filled(value, world, it) for name, value in data.items()}
    if isinstance(data, list):
        return [_filled(value, world, it) for value in data]
    return data.format(w=world, it=it) if isinstance(data, str) else data


def nothing(world: World, actor: Any) -> None:
    """The subject of an action that needs none."""


@dataclass(frozen=True)
class Action:
    """Something people do: its row in docs/roles.md, what it is done to, the action behind it, and its entry points."""

    name: str
    # "tenants.actions.claim_api_key"; empty for what only looks.
    action: str = ""
    # Made anew for each try, given who tries.
    subject: Callable[[World, Any], Any] = nothing
    page: EntryPoint | None = None
    api: EntryPoint | None = None
    admin: EntryPoint | None = None
    shell: Shell | None = None
    # A task does it; the line in the audit log comes with it.
    is_later: bool = False
    # Entry points where who may not do it does not see it either: 404 instead of 403.
    unseen_at: tuple[str, ...] = ()

    @property
    def entry_points(self) -> dict[str, EntryPoint | Shell]:
        entry_points = {"page": self.page, "API": self.api, "admin": self.admin, "shell": self.shell}
        return {name: entry_point for name, entry_point in entry_points.items() if entry_point is not None}

    @property
    def only_looks(self) -> bool:
        return not self.action


def _lines() -> Any:
    """What the audit log says of actions. That staff looked at a page of a tenant is an entry of its own."""
    return AuditEntry.objects.across_tenants().exclude(verb=VERB)


def answer_of(action: Action, entry_point: str, world: World, actor: Any) -> str:
    """What `actor` gets at this entry point: "done", "403", "404", "sign in", or whatever else it was.

    An action is done when it succeeds and leaves a line in the audit log, and refused when it leaves none.
    """
    try:
        it = action.subject(world, actor)
    except ObjectDoesNotExist:
        # There is no such thing for them.
        return "404"
    lines = _lines().count()
    way = action.entry_points[entry_point]
    if isinstance(way, Shell):
        status, location, said = _call(way, world, actor, it)
    else:
        response = way.knock(world.browsers[actor.pk], world, it)
        status, location = response.status_code, response.headers.get("Location", "")
        said = "" if response.streaming else response.content.decode(errors="replace")
        if status == 200 and way.shows.format(w=world, it=it) not in said:
            status = 404
    wrote = _lines().count() > lines
    if status in (403, 404):
        answer = str(status)
    elif status == 302 and "/login/" in location:
        answer = "sign in"
    elif status == 302 and location == "/admin/":
        # How Django's admin says that there is no such row.
        answer = "404"
    elif status < 400:
        answer = (
            "done"
            if wrote or action.only_looks or action.is_later
            else f"{status} without a line in the audit log"
        )
    else:
        answer = f"{status}: {said[-600:]}"
    if answer in REFUSED and wrote:
        return f"{answer}, and yet a line in the audit log"
    return answer


def _signed_in(person: Any) -> Client:
    browser = Client()
    browser.force_login(person)
    session = browser.session
    # Some actions want it of whoever may do them.
    session["qm_has_second_factor"] = True
    session.save()
    return browser


def _call(way: Shell, world: World, actor: Any, it: Any) -> tuple[int, str, str]:
    try:
        with transaction.atomic():
            way.call(world, type(actor).objects.get(pk=actor.pk), it)
    except PermissionDenied as refused:
        return 403, "", str(refused)
    except ObjectDoesNotExist as unseen:
        return 404, "", str(unseen)
    return 200, "", ""


@dataclass(frozen=True)
class Row:
    """A row of a table in docs/roles.md."""

    name: str
    # As asked in code, without backticks; empty: a rule of its own.
    permission: str
    may: dict[str, bool]  # by role
    entry_points: tuple[str, ...]


@dataclass
class Matrix:
    """What docs/roles.md says: actions of members and of staff, and which rows staff see in the admin."""

    members: dict[str, Row] = field(default_factory=dict)
    staff: dict[str, Row] = field(default_factory=dict)
    lists: dict[str, Row] = field(default_factory=dict)


def read_matrix(text: str) -> Matrix:
    """The tables of the page, known by their headers. Raises ValueError for a cell that is neither yes nor empty."""
    matrix = Matrix()
    for header, lines in _tables(text):
        if header[0] == "action":
            roles = header[2:-1]
            target = matrix.members if "owner" in roles else matrix.staff
        elif header[0] == "in the admin":
            roles, target = header[1:], matrix.lists
        else:
            continue
        for cells in lines:
            line = dict(zip(header, cells, strict=True))
            name = cells[0]
            if name in target:
                raise ValueError(f"docs/roles.md has two rows for {name!r} in one table.")
            target[name] = Row(
                name,
                permission=line.get("permission", "").replace("`", ""),
                may={role: _yes(line[role]) for role in roles},
                entry_points=tuple(
                    entry_point.strip()
                    for entry_point in line.get("entry points", "").split(",")
                    if entry_point.strip()
                ),
            )
    return matrix


def _tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        yield lines[0], lines[2:]


def _yes(cell: str) -> bool:
    if cell not in ("yes", ""):
        raise ValueError(f"docs/roles.md says {cell!r}; a cell is either yes or empty.")
    return cell == "yes"
