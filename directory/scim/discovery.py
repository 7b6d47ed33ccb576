"""What the service declares about itself (RFC 7644, section 4), and what it does not support."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from scim2_models import (
    Context,
    ForbiddenException,
    ListResponse,
    Meta,
    NotFoundException,
    NotImplementedException,
    ResourceType,
    Schema,
)

from directory.scim import mapping
from directory.scim.base import ScimView, json_answer, message_answer
from directory.scim.payloads import PROVIDER


class Configuration(ScimView):
    """/ServiceProviderConfig"""

    def get(self, request: HttpRequest) -> HttpResponse:
        config = PROVIDER.config
        assert config is not None
        described = config.model_copy(
            update={
                "meta": Meta(
                    resource_type="ServiceProviderConfig", location=mapping.location("ServiceProviderConfig")
                )
            }
        )
        return json_answer(described.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE))


class Catalogue(ScimView):
    """Declarations, as a list and by id."""

    kind: ClassVar[Any]
    endpoint: ClassVar[str]

    def everything(self) -> Iterable[Any]:
        raise NotImplementedError

    def get(self, request: HttpRequest, key: str | None = None) -> HttpResponse:
        # A client must not believe that a filter had an effect (RFC 7644, section 4).
        if "filter" in request.GET:
            raise ForbiddenException(detail="Filters do not apply to the service's own descriptions.")
        described = [self._described(row) for row in self.everything()]
        if key is None:
            answer = ListResponse[self.kind](  # type: ignore[name-defined]
                total_results=len(described),
                start_index=1,
                items_per_page=len(described),
                resources=described,
            )
            return message_answer(answer)
        found = next((row for row in described if str(row.id).lower() == key.lower()), None)
        if found is None:
            raise NotFoundException
        return json_answer(found.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE))

    def _described(self, row: Any) -> Any:
        meta = Meta(resource_type=self.kind.__name__, location=mapping.location(self.endpoint, row.id))
        return row.model_copy(update={"meta": meta})


class ResourceTypes(Catalogue):
    kind = ResourceType
    endpoint = "ResourceTypes"

    def everything(self) -> Iterable[ResourceType]:
        return PROVIDER.resource_types


class Schemas(Catalogue):
    kind = Schema
    endpoint = "Schemas"

    def everything(self) -> Iterable[Schema]:
        return PROVIDER.schemas


class NotDone(ScimView):
    """/Bulk, /Me and searches across Users and Groups. They are declared as not supported and get 501."""

    def refuse(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        raise NotImplementedException(
            detail="This service does not support bulk requests, /Me, or a search over all kinds of "
            "resources at once."
        )

    get = post = put = patch = delete = refuse
