"""Translate a directory's filter and sort order (RFC 7644, section 3.4.2) into a database query.

The library parses the filter and checks it against the payload's model. This module maps each attribute to a column.
Attributes without a column are rejected, never evaluated in Python. Values are passed as query parameters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import CharField, Exists, F, Model, OuterRef, Q, Value
from django.db.models.functions import Coalesce, NullIf
from scim2_models import InvalidFilterException, InvalidPathException, ScimFilter, SearchRequest
from scim2_models.path import (
    CompareOperator,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ValuePath,
)
from scim2_models.path.resolution import AttributeBinding, coerce_value

from core.addresses import address_or_none
from directory.models import DirectoryGroup
from directory.scim import payloads

LONGEST_FILTER = 2000  # characters
NOTHING = Q(pk__in=[])
EVERYTHING = ~NOTHING
_VALUE_OF_SELECTION = re.compile(r'^\s*(\w+)\[([^\[\]]+)\]\.(value\s+\w+\s+"(?:[^"\\]|\\.)*")\s*$')
# An attribute and its sub-attribute, in Python's spelling.
Key = tuple[str, str | None]


class Column:
    """How one attribute is compared. Each kind of column defines the operators that it supports."""

    name: str

    def compare(self, op: CompareOperator, value: Any) -> Q | None:
        """The condition; None if the column does not support the comparison."""
        raise NotImplementedError

    def present(self) -> Q:
        return EVERYTHING


@dataclass(frozen=True)
class Text(Column):
    """A text, empty if the directory never sent one.

    `is_address`: an address; values are compared in the one form that core/addresses.py gives them. `is_small`: stored
    in that form, in lower case, so that comparisons use its index.
    """

    name: str
    case_exact: bool = False
    is_address: bool = False
    is_small: bool = False

    def compare(self, op: CompareOperator, value: Any) -> Q | None:
        words = {
            CompareOperator.eq: "exact",
            CompareOperator.co: "contains",
            CompareOperator.sw: "startswith",
            CompareOperator.ew: "endswith",
        }
        if op is CompareOperator.ne:
            return ~(self.compare(CompareOperator.eq, value) or NOTHING)
        if op not in words or not isinstance(value, str):
            return None
        if self.is_address and op is CompareOperator.eq:
            value = address_or_none(value)
            if value is None:
                return NOTHING
        if self.is_small:
            value = "".join(letter.lower() if letter.isascii() else letter for letter in value)
        if self.case_exact or self.is_small:
            return Q(**{f"{self.name}__{words[op]}": value})
        return Q(**{f"{self.name}__i{words[op]}": value})

    def present(self) -> Q:
        return ~Q(**{self.name: ""})


@dataclass(frozen=True)
class Identifier(Column):
    """One of our ids. A text that is not an id matches nothing."""

    name: str

    def compare(self, op: CompareOperator, value: Any) -> Q | None:
        if op not in (CompareOperator.eq, CompareOperator.ne):
            return None
        try:
            same = Q(**{self.name: UUID(str(value))})
        except ValueError:
            same = NOTHING
        return same if op is CompareOperator.eq else ~same


@dataclass(frozen=True)
class Flag(Column):
    name: str

    def compare(self, op: CompareOperator, value: Any) -> Q | None:
        if op not in (CompareOperator.eq, CompareOperator.ne) or not isinstance(value, bool):
            return None
        return Q(**{self.name: value if op is CompareOperator.eq else not value})


@dataclass(frozen=True)
class Moment(Column):
    name: str

    def compare(self, op: CompareOperator, value: Any) -> Q | None:
        if not isinstance(value, datetime) or value.tzinfo is None:
            return None
        if op is CompareOperator.ne:
            return ~Q(**{self.name: value})
        words = {"eq": "exact", "gt": "gt", "ge": "gte", "lt": "lt", "le": "lte"}
        return Q(**{f"{self.name}__{words[op]}": value}) if op in words else None


@dataclass(frozen=True)
class Constant(Column):
    """A value that is the same for every row."""

    value: str | bool
    name: str = "pk"

    def compare(self, op: CompareOperator, value: Any) -> Q | None:
        if op not in (CompareOperator.eq, CompareOperator.ne):
            return None
        is_same = str(value).lower() == str(self.value).lower()
        return EVERYTHING if is_same is (op is CompareOperator.eq) else NOTHING


@dataclass(frozen=True)
class Several(Column):
    """A group's members or a person's groups: rows of another table, compared by their ids."""

    rows: type[Model]
    # The field of `rows` that points to the filtered row.
    owner: str
    columns: dict[Key, Column]
    name: str = "pk"

    def compare(self, op: CompareOperator, value: Any) -> Q | None:
        question = self.columns["value", None].compare(op, value) if op is CompareOperator.eq else None
        return None if question is None else self.having(question)

    def present(self) -> Q:
        return self.having(EVERYTHING)

    def having(self, question: Q) -> Q:
        return Q(Exists(self.rows._default_manager.filter(question, **{self.owner: OuterRef("pk")})))


MEMBERSHIPS = DirectoryGroup.members.through
_META: dict[Key, Column] = {("meta", "created"): Moment("made"), ("meta", "last_modified"): Moment("changed")}


@dataclass(frozen=True)
class Columns:
    """The columns of one resource. A queryset that is filtered by them needs `aliases`."""

    columns: dict[Key, Column]
    aliases: dict[str, Any] = field(default_factory=dict)


USERS = Columns(
    {
        ("id", None): Identifier("pk"),
        ("external_id", None): Text("external_id", case_exact=True),
        ("user_name", None): Text("email", is_address=True, is_small=True),
        ("display_name", None): Text("name"),
        ("name", "formatted"): Text("formatted"),
        ("name", "given_name"): Text("given"),
        ("name", "family_name"): Text("family"),
        ("active", None): Flag("is_active"),
        ("emails", None): Text("work", is_address=True),
        ("emails", "value"): Text("work", is_address=True),
        ("emails", "type"): Constant("work"),
        ("emails", "primary"): Constant(True),
        ("groups", None): (
            _groups := Several(
                MEMBERSHIPS,
                "user",
                {
                    ("value", None): Identifier("directorygroup"),
                    ("display", None): Text("directorygroup__display_name"),
                },
            )
        ),
        ("groups", "value"): _groups,
        ("meta", "resource_type"): Constant("User"),
        **_META,
    },
    {
        "given": Coalesce("directory_entry__given_name", Value("")),
        "family": Coalesce("directory_entry__family_name", Value("")),
        "formatted": Coalesce(
            NullIf("directory_entry__formatted_name", Value("")), "name", output_field=CharField()
        ),
        "work": Coalesce(NullIf("directory_entry__work_email", Value("")), "email", output_field=CharField()),
        "made": F("date_joined"),
        "changed": Coalesce("directory_entry__changed_at", "date_joined"),
    },
)
GROUPS = Columns(
    {
        ("id", None): Identifier("pk"),
        ("external_id", None): Text("external_id", case_exact=True),
        ("display_name", None): Text("display_name", case_exact=True),
        ("members", None): (
            _members := Several(
                MEMBERSHIPS,
                "directorygroup",
                {("value", None): Identifier("user"), ("display", None): Text("user__name")},
            )
        ),
        ("members", "value"): _members,
        ("meta", "resource_type"): Constant("Group"),
        **_META,
    },
    {"made": F("created_at"), "changed": F("changed_at")},
)
OF_MODEL: dict[Any, Columns] = {payloads.User: USERS, payloads.Group: GROUPS}


def in_grammar(text: str) -> str:
    """A filter in the grammar of RFC 7644, which lacks Entra ID's `emails[type eq "work"].value eq "…"`.

    Raises InvalidFilterException, before anything parses it, if the filter is longer than LONGEST_FILTER.
    """
    if len(text) > LONGEST_FILTER:
        raise InvalidFilterException(detail=f"The filter is longer than {LONGEST_FILTER} characters.")
    return _VALUE_OF_SELECTION.sub(r"\1[(\2) and \3]", text, count=1)


def filter_of(scim_filter: ScimFilter[Any]) -> Q:
    """The condition for a filter that is bound to a payload's model. Raises InvalidFilterException."""
    return _ToQ(scim_filter, OF_MODEL[scim_filter.model].columns).visit(scim_filter.ast)


def filter_of_members(values: FilterNode) -> Q:
    """The condition on membership rows for a filter over one group's members, as in `members[value eq "…"]`."""
    return _ToQ(ScimFilter[payloads.Group](values), _members.columns, "members").visit(values)


def order_of(search: SearchRequest[Any], model: Any) -> list[Any]:
    """The sort order of a list: as requested, then by creation. Raises InvalidPathException."""
    binding = search.sort_binding(model)
    if binding is None:
        return ["pk"]
    column = OF_MODEL[model].columns.get((binding.field_name, binding.sub_field_name))
    if column is None or isinstance(column, Several | Constant):
        raise InvalidPathException(detail=f"Lists cannot be sorted by {search.sort_by}.")
    value = NullIf(F(column.name), Value("")) if isinstance(column, Text) else F(column.name)
    if search.sort_order == SearchRequest.SortOrder.descending:
        return [value.desc(nulls_first=True), "pk"]
    return [value.asc(nulls_last=True), "pk"]


class _ToQ(FilterVisitor[Q]):
    """Visits the nodes of a filter. `parent` is the attribute from whose values a value filter selects."""

    def __init__(
        self, scim_filter: ScimFilter[Any], columns: dict[Key, Column], parent: str | None = None
    ) -> None:
        self.filter, self.columns, self.parent = scim_filter, columns, parent

    def visit_not(self, node: Not) -> Q:
        return ~self.visit(node.expr)

    def visit_logical_expr(self, node: LogicalExpr) -> Q:
        questions = [self.visit(term) for term in node.terms]
        connector = Q.AND if node.op is LogicalOperator.and_ else Q.OR
        return Q(*questions, _connector=connector)

    def visit_present(self, node: Present) -> Q:
        column, _ = self._find(node, comparing=False)
        return column.present()

    def visit_comparison(self, node: Comparison) -> Q:
        column, binding = self._find(node, comparing=True)
        if node.value is None:
            if node.op not in (CompareOperator.eq, CompareOperator.ne):
                raise _not_asked(node)
            return ~column.present() if node.op is CompareOperator.eq else column.present()
        value = node.value if binding is None else coerce_value(binding, node.value, node.op)
        if isinstance(value, str) and not is_storable(value):
            # No row can hold such a text, and the database would reject it.
            return EVERYTHING if node.op is CompareOperator.ne else NOTHING
        question = column.compare(node.op, value)
        if question is None:
            raise _not_asked(node)
        return question

    def visit_value_path(self, node: ValuePath) -> Q:
        binding = self.filter.resolve(node.attr_path)
        assert binding is not None
        column = self.columns.get((binding.field_name, None))
        if isinstance(column, Several):
            return column.having(_ToQ(self.filter, column.columns, binding.field_name).visit(node.val_filter))
        inner: dict[Key, Column] = {
            (key[1], None): found
            for key, found in self.columns.items()
            if key[0] == binding.field_name and key[1] is not None
        }
        return _ToQ(self.filter, inner, binding.field_name).visit(node.val_filter)

    def _find(self, node: Comparison | Present, *, comparing: bool) -> tuple[Column, AttributeBinding | None]:
        path = node.attr_path
        binding: AttributeBinding | None = None
        if self.parent is not None:
            key: Key = (path.attr.lower(), None)
        else:
            binding = (self.filter.resolve_comparison if comparing else self.filter.resolve)(path)
            assert binding is not None
            key = (binding.field_name, binding.sub_field_name)
        column = self.columns.get(key)
        if column is None:
            raise _not_asked(node)
        return column, binding


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold the text: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _not_asked(node: Comparison | Present) -> InvalidFilterException:
    word = node.op.value if isinstance(node, Comparison) else "pr"
    return InvalidFilterException(detail=f"{node.attr_path} does not support {word} here.")
