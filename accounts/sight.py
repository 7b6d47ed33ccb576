"""What the staff site says where a role hides rows, so that it never looks as if there were none.

Pages of a tenant say it by `not_shown` (tenants/views/mixins.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import STAFF_PERMISSIONS, StaffRole
from core.joined import listed


@dataclass(frozen=True)
class Hidden:
    """What a page says in the place of rows that its reader may not see: the fact, who sees them, and the way there."""

    title: str
    text: str

    def __str__(self) -> str:
        """Both in a line, for a page that is refused as a whole."""
        return _("%(title)s. %(text)s") % {"title": self.title, "text": self.text}


def hidden_from_staff(user: User, model: Any) -> Hidden | None:
    """What the staff site says in the place of rows of `model`; None if `user` sees those of all tenants."""
    roles = getattr(model, "visible_to_staff", None)
    if roles is None or user.is_superuser or user.staff_roles & roles:
        return None
    return _hidden(model, roles)


def hidden_page(model: type[Model], permission: str = "") -> Hidden:
    """What the staff site says in the place of a list that the reader's role may not open.

    Args:
        model: of the list.
        permission: that opens it; empty: Django's to view the model.
    """
    needed = permission or f"{model._meta.app_label}.view_{model._meta.model_name}"
    return _hidden(model, {role for role, held in STAFF_PERMISSIONS.items() if needed in held})


def _hidden(model: Any, roles: Any) -> Hidden:
    if not roles:
        return Hidden(title=_title(model), text=_("No staff role sees them."))
    text = _("Staff with one of these roles see them: %(roles)s. Operators give staff roles.")
    return Hidden(title=_title(model), text=text % {"roles": _listed(roles)})


def _title(model: Any) -> str:
    return _("Your role does not show %(names)s") % {"names": model._meta.verbose_name_plural}


def _listed(roles: Any) -> str:
    """The names of roles, in the order of their declaration."""
    return listed(role.label for role in StaffRole if role in roles)
