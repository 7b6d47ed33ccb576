"""Users and Groups: create, read, list, replace, change, delete (RFC 7644, section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from scim2_models import Context, ListResponse, PatchOp, ResponseParameters, SearchRequest

from accounts.models import User
from directory.actions import groups as group_actions
from directory.actions import people as people_actions
from directory.actions.groups import GroupFacts
from directory.models import DirectoryGroup
from directory.scim import filters, mapping, members, payloads
from directory.scim.base import ScimView, is_unchanged, json_answer, message_answer, read_json, require_match
from directory.scope import PersonFacts, facts_of, people

SEARCH_PARAMETERS = (
    "filter", "sortBy", "sortOrder", "startIndex", "count", "attributes", "excludedAttributes"
)  # fmt: skip
PARAMETERS = ("attributes", "excludedAttributes")


class ResourceView(ScimView):
    """What Users and Groups have in common. A subclass defines how its rows are found and shown."""

    payload: ClassVar[Any]
    model: ClassVar[Any]

    def rows(self) -> QuerySet[Any]:
        """All rows that a directory may see."""
        raise NotImplementedError

    def shown(self, rows: QuerySet[Any], parameters: ResponseParameters[Any]) -> Iterable[Any]:
        """The payloads of these rows, with a constant number of queries."""
        raise NotImplementedError

    def parameters(self) -> ResponseParameters[Any]:
        given = {name: self.request.GET[name] for name in PARAMETERS if name in self.request.GET}
        return ResponseParameters[self.payload].model_validate(given)  # type: ignore[name-defined]

    def read(self, context: Context) -> Any:
        """The request's body as a payload."""
        return self.payload.model_validate(read_json(self.request), scim_ctx=context)

    def read_patch(self) -> Any:
        return PatchOp[self.payload].model_validate(  # type: ignore[name-defined]
            read_json(self.request), scim_ctx=Context.RESOURCE_PATCH_REQUEST
        )

    def show(self, pk: UUID, *, status: int = 200) -> HttpResponse:
        """One resource in its current state."""
        parameters = self.parameters()
        payload = next(iter(self.shown(self.rows().filter(pk=pk), parameters)), None)
        if payload is None:
            raise self.rows().model.DoesNotExist
        version = payload.meta.version
        if self.request.method == "GET" and is_unchanged(self.request, version):
            return HttpResponse(status=304, headers={"ETag": version})
        body = payload.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=parameters)
        answer = json_answer(body, status=status, version=version)
        if status == 201:
            answer["Location"] = payload.meta.location
        return answer

    def search(self, search: SearchRequest[Any]) -> HttpResponse:
        """A page of the results of a filter. `startIndex` counts from 1; a page holds at most LONGEST_PAGE."""
        rows = self.rows().alias(**filters.OF_MODEL[self.payload].aliases)
        if search.filter is not None:
            rows = rows.filter(filters.filter_of(search.filter))
        total = rows.count()
        start = search.start_index_0 or 0
        count = min(payloads.DEFAULT_PAGE if search.count is None else search.count, payloads.LONGEST_PAGE)
        found: list[Any] = []
        if count and start < total:
            page = rows.order_by(*filters.order_of(search, self.payload))[start : start + count]
            found = list(self.shown(page, search))
        answer = ListResponse[self.payload](  # type: ignore[name-defined]
            total_results=total, start_index=start + 1, items_per_page=len(found), resources=found
        )
        return message_answer(answer, search)


class ListMixin:
    """GET lists."""

    def get(self: Any, request: HttpRequest) -> HttpResponse:
        given = {name: request.GET[name] for name in SEARCH_PARAMETERS if name in request.GET}
        if "filter" in given:
            given["filter"] = filters.in_grammar(given["filter"])
        return self.search(SearchRequest[self.payload].model_validate(given))  # type: ignore[no-any-return]


class SearchMixin:
    """POST lists. The filter is in the body, so it appears in no log (RFC 7644, section 3.4.3)."""

    def post(self: Any, request: HttpRequest) -> HttpResponse:
        given = read_json(request)
        if isinstance(given.get("filter"), str):
            given["filter"] = filters.in_grammar(given["filter"])
        search = SearchRequest[self.payload].model_validate(given, scim_ctx=Context.SEARCH_REQUEST)
        return self.search(search)  # type: ignore[no-any-return]


class UserView(ResourceView):
    payload = payloads.User
    model = User

    def rows(self) -> QuerySet[User]:
        return people()

    def shown(self, rows: QuerySet[User], parameters: ResponseParameters[Any]) -> Iterable[payloads.User]:
        return map(
            mapping.user_payload,
            rows.select_related("directory_entry").prefetch_related("directory_groups"),
        )


class Users(ListMixin, UserView):
    def post(self, request: HttpRequest) -> HttpResponse:
        # This context ignores ids and other read-only values.
        payload = self.read(Context.RESOURCE_REPLACEMENT_REQUEST)
        user = people_actions.provision_person(mapping.facts_of_user(payload), directory=self.directory.name)
        return self.show(user.pk, status=201)


class UserSearch(SearchMixin, UserView):
    pass


class UserDetail(UserView):
    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self.show(pk)

    def put(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        payload = self.read(Context.RESOURCE_REPLACEMENT_REQUEST)
        return self._change(pk, lambda user: mapping.facts_of_user(payload, facts_of(user)))

    def patch(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        operations = self.read_patch()

        def edited(user: User) -> PersonFacts:
            shown, payload = mapping.user_payload(user), mapping.user_payload(user)
            operations.patch(payload)
            return mapping.facts_of_patched(payload, shown, facts_of(user))

        return self._change(pk, edited)

    def delete(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        people_actions.deprovision_person(pk, directory=self.directory.name, check=self._require_match)
        return HttpResponse(status=204)

    def _change(self, pk: UUID, edit: people_actions.Edit) -> HttpResponse:
        def checked(user: User) -> PersonFacts:
            self._require_match(user)
            return edit(user)

        people_actions.change_person(pk, checked, directory=self.directory.name)
        return self.show(pk)

    def _require_match(self, user: User) -> None:
        require_match(self.request, mapping.user_version(mapping.user_payload(user)))


class GroupView(ResourceView):
    payload = payloads.Group
    model = DirectoryGroup

    def rows(self) -> QuerySet[DirectoryGroup]:
        return DirectoryGroup.objects.all()

    def shown(
        self, rows: QuerySet[DirectoryGroup], parameters: ResponseParameters[Any]
    ) -> Iterable[payloads.Group]:
        if not _wants_members(parameters):
            return (mapping.group_payload(group, None) for group in rows)
        known = people().only("pk", "name", "email").order_by("pk")
        return (
            mapping.group_payload(group, group.members.all())
            for group in rows.prefetch_related(Prefetch("members", known))
        )


class Groups(ListMixin, GroupView):
    def post(self, request: HttpRequest) -> HttpResponse:
        facts = _facts_of(self.read(Context.RESOURCE_REPLACEMENT_REQUEST))
        group = group_actions.provision_group(facts, directory=self.directory.name)
        return self.show(group.pk, status=201)


class GroupSearch(SearchMixin, GroupView):
    pass


class GroupDetail(GroupView):
    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self.show(pk)

    def put(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        facts = _facts_of(self.read(Context.RESOURCE_REPLACEMENT_REQUEST))
        self._change(pk, lambda group: facts)
        return self.show(pk)

    def patch(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Answer 204, as RFC 7644 allows, because a group may be large. With `attributes`, answer with the group."""
        patch = self.read_patch()
        others, changes = members.split(patch)

        def edited(group: DirectoryGroup) -> GroupFacts:
            payload = mapping.group_payload(group, None)
            if others:
                patch.model_copy(update={"operations": others}).patch(payload)
            return GroupFacts(payload.display_name or "", payload.external_id or "", changes)

        group = self._change(pk, edited)
        if self.parameters().attributes:
            return self.show(pk)
        return HttpResponse(status=204, headers={"ETag": mapping.group_version(group)})

    def delete(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        group_actions.deprovision_group(pk, directory=self.directory.name, check=self._require_match)
        return HttpResponse(status=204)

    def _change(self, pk: UUID, edit: group_actions.Edit) -> DirectoryGroup:
        def checked(group: DirectoryGroup) -> GroupFacts:
            self._require_match(group)
            return edit(group)

        return group_actions.change_group(pk, checked, directory=self.directory.name)

    def _require_match(self, group: DirectoryGroup) -> None:
        require_match(self.request, mapping.group_version(group))


def _facts_of(payload: payloads.Group) -> GroupFacts:
    return GroupFacts(
        payload.display_name or "", payload.external_id or "", (members.replaced_by(payload.members),)
    )


def _wants_members(parameters: ResponseParameters[Any]) -> bool:
    """Whether an answer shows members, who may be thousands."""
    if parameters.attributes:
        return any(str(path).lower().startswith("members") for path in parameters.attributes)
    return not any(str(path).lower() == "members" for path in parameters.excluded_attributes or ())
