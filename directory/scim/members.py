"""Read the member changes in a payload or a PATCH, without loading a group's members, who may be thousands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from scim2_models import InvalidPathException, InvalidValueException, PatchOp, PatchOperation
from scim2_models.path import AttrPath, Path, ValuePath

from directory.actions.groups import Action, MemberChange
from directory.scim import filters, payloads

Operation = PatchOperation[payloads.Group]


def replaced_by(members: Iterable[Any] | None) -> MemberChange:
    """The change that sets all members at once, as in POST and PUT. Raises InvalidValueException."""
    return MemberChange(Action.REPLACE, frozenset(_id(member.value) for member in members or ()))


def split(patch: PatchOp[payloads.Group]) -> tuple[list[Operation], tuple[MemberChange, ...]]:
    """Split a checked PATCH into the operations that are not about members and the changes of members.

    Raises InvalidValueException if a member is not an id, InvalidFilterException if a filter is not supported.
    """
    others: list[Operation] = []
    changes: list[MemberChange] = []
    for operation in patch.operations or []:
        if operation.path is not None and _is_about_members(operation.path):
            changes.append(_change(operation, operation.path))
            continue
        value = operation.value
        if operation.path is None and isinstance(value, dict):
            inner = {key: item for key, item in value.items() if key.lower() == "members"}
            changes.extend(MemberChange(Action(str(operation.op)), _ids(item)) for item in inner.values())
            value = {key: item for key, item in value.items() if key not in inner}
            if inner and not value:
                continue
            operation = operation.model_copy(update={"value": value})
        others.append(operation)
    return others, tuple(changes)


def _change(operation: Operation, path: Path[Any]) -> MemberChange:
    action, node = Action(str(operation.op)), path.ast
    if isinstance(node, AttrPath) and node.sub_attr is None:
        if operation.value is None:
            return MemberChange(action)
        people = _ids(operation.value)
        if action is Action.REMOVE and not people:
            return MemberChange(action, matching=filters.NOTHING)
        return MemberChange(action, people)
    if isinstance(node, ValuePath) and node.sub_attr is None and action is Action.REMOVE:
        return MemberChange(action, matching=filters.filter_of_members(node.val_filter))
    raise InvalidPathException(
        detail="Add and replace members as a whole, and remove them by their value: members[value eq …]."
    )


def _is_about_members(path: Path[Any]) -> bool:
    binding = path.resolve()
    return binding is not None and binding.field_name == "members"


def _ids(value: Any) -> frozenset[UUID]:
    """The ids in a list of members, or the id of a single member."""
    items = value if isinstance(value, list) else [value]
    return frozenset(
        _id(item.get("value") if isinstance(item, dict) else item) for item in items if item is not None
    )


def _id(value: Any) -> UUID:
    try:
        return UUID(str(value))
    except ValueError as error:
        raise InvalidValueException(detail=f"There is no User {str(value)[:60]}.") from error
