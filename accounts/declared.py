"""Declare once, at the action, what it checks before it does anything.

    @action(ApiKey, permission="tenants.revoke_key", on=lambda key: key.project, state=_require_not_revoked)
    @transaction.atomic
    def revoke_api_key(pk: UUID, *, by: User, reason: str = "") -> ApiKey:
        key = ApiKey.objects.visible_to(by).select_for_update(of=("self",)).get(pk=pk)
        revoke_api_key.require(by, key)
        ...

The action checks the row that it has locked. Pages, the API and the admin check the row as they read it, before they
look at a form: `revoke_api_key.require(user, key)`. So every entry point answers in the same order: not visible 404,
not permitted 403, wrong state 409, wrong data 400. `revoke_api_key(...)` calls the function as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import models

from accounts.models import User
from accounts.permissions import require
from core.errors import Conflict

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def action(
    subject: type[S],
    *,
    permission: str | Sequence[str] | Callable[[User], None] | None,
    which: Callable[[User, S], str] | None = None,
    on: Callable[[S], models.Model | None] | None = None,
    rule: Callable[[User, S], None] | None = None,
    state: Callable[[User | None, S], None] | None = None,
) -> Callable[[Callable[P, R]], Action[S, P, R]]:
    """Declare what the decorated action checks.

    Args:
        subject: the type of the object. For an object yet to be made, its future place (a tenant, a project), or its
            model, of which entry points pass a draft. NoneType: the platform.
        permission: the name of the permission; or several names, of which `which` chooses one; or a function that
            raises PermissionDenied for people without the right; or None, if `rule` alone decides.
        which: the one permission that this person needs for this subject. "": none, the subject is their own.
        on: the tenant or project on which the permission is checked. None: the action requires a staff permission.
        rule: raises PermissionDenied for a rule beyond permissions, such as "nobody decides their own request".
        state: raises Conflict if the subject, as it was read, does not allow the action now. None as user: the
            platform.
    """

    def declare(function: Callable[P, R]) -> Action[S, P, R]:
        return Action(function, subject, permission=permission, which=which, on=on, rule=rule, state=state)

    return declare


class Action(Generic[S, P, R]):
    """A function that people call, with the checks it makes first (see `action`)."""

    def __init__(
        self,
        function: Callable[P, R],
        subject: type[S],
        *,
        permission: str | Sequence[str] | Callable[[User], None] | None,
        which: Callable[[User, S], str] | None,
        on: Callable[[S], models.Model | None] | None,
        rule: Callable[[User, S], None] | None,
        state: Callable[[User | None, S], None] | None,
    ) -> None:
        self._function, self.subject = function, subject
        self._permission, self._which, self._on, self._rule, self._state = permission, which, on, rule, state
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<action {self._function.__module__}.{self._function.__qualname__}>"

    @property
    def permissions(self) -> tuple[str, ...]:
        """The names of all permissions that may be checked; none if a function decides instead."""
        if self._permission is None or callable(self._permission):
            return ()
        return (self._permission,) if isinstance(self._permission, str) else tuple(self._permission)

    @property
    def permission(self) -> str:
        """The name of its permission, for queries about many rows at once (`tenants.permissions.projects_where`).

        Raises TypeError for an action that declares none or several.
        """
        if len(self.permissions) != 1:
            raise TypeError(f"{self!r} has no single permission: {self.permissions}")
        return self.permissions[0]

    def require_permission(self, by: User | None, subject: S) -> None:
        """Raise PermissionDenied unless `by` may do this to `subject`. None is the platform, which may."""
        if by is None:
            return
        if callable(self._permission):
            self._permission(by)
        elif self._permission is not None and (name := self._name_for(by, subject)):
            require(by, name, self._on(subject) if self._on else None)
        if self._rule:
            self._rule(by, subject)

    def _name_for(self, by: User, subject: S) -> str:
        """The permission that `by` needs for `subject`; "" for none. Raises TypeError for one that is not declared."""
        name = self._which(by, subject) if self._which else self.permission
        if name and name not in self.permissions:
            raise TypeError(f"{self!r} does not declare the permission {name}")
        return name

    def require(self, by: User | None, subject: S) -> None:
        """Raise PermissionDenied unless `by` may do this to `subject`, then Conflict unless its state allows it now."""
        self.require_permission(by, subject)
        if self._state:
            self._state(by, subject)

    def is_permitted(self, by: User, subject: S) -> bool:
        """Whether `by` may do this to `subject`, whatever its state."""
        return _passes(self.require_permission, by, subject)

    def is_possible(self, by: User, subject: S) -> bool:
        """Whether `by` may do this to `subject` now; for pages that decide whether to show a button."""
        return _passes(self.require, by, subject)

    def is_for(self, user: Any) -> bool:
        """Whether `user` may do this everywhere, as staff do; for the admin, before it has a subject."""
        if callable(self._permission):
            return _passes(self._permission, user)
        return any(user.has_perm(name) for name in self.permissions)


def _passes(question: Callable[..., None], *args: Any) -> bool:
    try:
        question(*args)
    except (PermissionDenied, Conflict):
        return False
    return True
