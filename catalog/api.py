"""Models, access requests and grants over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.http import Http404
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from drf_spectacular.utils import (
    OpenApiExample,
    extend_schema,
    extend_schema_view,
)
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency import idempotent
from accounts.models import User
from accounts.permissions import signed_in
from catalog.actions import (
    curate_model,
    decide_review,
    raise_access_request,
    withdraw_access_request,
)
from catalog.actions.access_requests import WantedItem
from catalog.actions.granted_keys import own_keys
from catalog.asked_facts import read_facts
from catalog.documents_api import DocumentationMixin
from catalog.model_facts import as_json
from catalog.model_filters import ModelFilter, PagesOfModels
from catalog.models import AccessRequest, CatalogModel, Grant, RequestItem, Review, ReviewDecision
from catalog.prices import list_prices
from catalog.publishing_api import PublishingStepsViewSet
from catalog.querysets import PARTS_OF_ITEMS
from catalog.request_serializers import (
    AccessRequestSerializer,
    NewAccessRequestSerializer,
    NewReviewSerializer,
    ProjectNameSerializer,
)
from catalog.request_steps_api import IDEMPOTENT, RequestStepsViewSet
from catalog.scores_api import ScoresMixin
from catalog.serializers import (
    MOST_ACCESS,
    CuratedModelSerializer,
    CurateModelSerializer,
    ModelDetailSerializer,
    ModelSerializer,
)
from catalog.serving import Reach, answered, reach_of, unserved_words
from catalog.typos import corrected
from core.serializers import require_no_fields
from tenants.api.base import InProjectFilter
from tenants.models import ApiKey, Project, Tenant
from tenants.roles import TokenScope


class ModelViewSet(
    DocumentationMixin, ScoresMixin, PublishingStepsViewSet, viewsets.ReadOnlyModelViewSet[CatalogModel]
):
    """Models that tenants can find and request, with list prices and your access to them."""

    queryset = CatalogModel.objects.none()
    serializer_class = ModelSerializer
    filterset_class = ModelFilter
    token_scope = TokenScope.PLATFORM
    pagination_class = PagesOfModels
    lookup_field = "name"
    lookup_value_regex = r"[a-z0-9][a-z0-9._-]*"

    def get_queryset(self) -> QuerySet[CatalogModel]:
        """Published models; those who may edit models also read and edit each draft and retired one by its name."""
        models = CatalogModel.objects.all()
        return models if self.action != "list" and self._may_curate else self._offered

    @property
    def _offered(self) -> Any:
        """What is offered to one of the person's tenants; to staff, everything that is published."""
        models = CatalogModel.objects.all()
        if signed_in(self.request).is_staff:
            return models.published()
        return models.offered_to(self._own_tenants)

    @property
    def _may_curate(self) -> bool:
        return curate_model.is_for(self.request.user)

    def get_serializer_class(self) -> type[ModelSerializer]:
        if self.action == "list":
            return ModelSerializer
        return CuratedModelSerializer if self._may_curate else ModelDetailSerializer

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        models = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        words = request.query_params.get("q", "")
        if not models and words and not self._offered.search(words).exists():
            # A program gets what it asked for: no models.
            cast(PagesOfModels, self.paginator).did_you_mean = corrected(words, self._offered)
        return self.get_paginated_response(self._serialized(models or [], many=True))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        model = self.get_object()
        return Response(self._serialized([model], many=False))

    @extend_schema(request=CurateModelSerializer, responses=CuratedModelSerializer)
    def partial_update(self, request: Request, name: str) -> Response:
        """Edit facts of a model. What you set stays yours: imports leave it alone.

        Send what you have read as `seen`: if a fact that you change is something else now, the answer is 409
        `edited_since`. A change that restricts a model in use answers 409 `touches_tenants`, and says whom it touches;
        send `may_touch_tenants` to confirm. With `takes_effect_at` the answer has the model as it still is, and the
        change under `planned_changes`.
        """
        model = self.get_object()
        curate_model.require(signed_in(request), model)
        said = CurateModelSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        values = dict(said.validated_data)
        curate_model(
            model.pk,
            by=signed_in(request),
            seen=values.pop("seen", None),
            may_touch_tenants=values.pop("may_touch_tenants"),
            takes_effect_at=values.pop("takes_effect_at"),
            reason=values.pop("reason"),
            values={one: as_json(value) for one, value in values.items()},
        )
        return Response(self._serialized([self.get_object()], many=False))

    @cached_property
    def _own_tenants(self) -> Sequence[Tenant]:
        return list(Tenant.objects.filter(pk__in=signed_in(self.request).own_tenants()))

    def _serialized(self, models: Sequence[CatalogModel], *, many: bool) -> Any:
        reach = reach_of(self._own_tenants, models)
        context = {
            **self.get_serializer_context(),
            "tenants": self._own_tenants,
            "visible": CatalogModel.objects.all() if self._may_curate else self._offered,
            "prices": list_prices([model.name for model in models]),
            "reach": reach,
            "access": _access_of(signed_in(self.request), models, reach),
        }
        serializer = self.get_serializer_class()
        return serializer(models if many else models[0], many=many, context=context).data


def _access_of(
    user: User, models: Sequence[CatalogModel], reach: Mapping[UUID, Reach]
) -> dict[UUID, list[dict[str, Any]]]:
    """By model, the person's projects that may use or have requested it: at most one more than the API shows.

    Takes three queries and reads only that many rows per model, however many projects there are. `reach` is by tenant.
    """
    rows: dict[UUID, list[Grant | RequestItem]] = {}
    mine = Q(tenant__in=user.own_tenants(), model__in=models)
    place = Window(RowNumber(), partition_by="model_id", order_by="pk")
    grants = Grant.objects.visible_to(user).in_force().without_lapsed_keys().filter(mine)
    waiting = RequestItem.objects.visible_to(user).filter(mine, is_open=True)
    for all_rows in (grants.select_related("item"), waiting):
        first = all_rows.annotate(place=place).filter(place__lte=MOST_ACCESS + 1)
        for row in first.select_related("tenant", "project").order_by("pk"):
            here = rows.setdefault(row.model_id, [])
            if len(here) <= MOST_ACCESS:
                here.append(row)
    shown = [row.pk for some in rows.values() for row in some]
    served = set(grants.filter(answered(reach), pk__in=shown).values_list("pk", flat=True))
    for asked in (row for some in rows.values() for row in some if isinstance(row, RequestItem)):
        reached = reach.get(asked.tenant_id, {}).get(asked.model_id)
        if not unserved_words(reached, asked.data_class):
            served.add(asked.pk)
    return {model: [_as_access(row, row.pk in served) for row in some] for model, some in rows.items()}


def _as_access(row: Grant | RequestItem, is_served: bool) -> dict[str, Any]:
    is_grant = isinstance(row, Grant)
    item = row.item if isinstance(row, Grant) else row
    return {
        "tenant": row.tenant.slug,
        "project": row.project.slug,
        "state": "granted" if is_grant else "in_review",
        "is_served": is_served,
        "grant": row.pk if is_grant else None,
        "access_request": item.access_request_id,
        "valid_until": row.valid_until if isinstance(row, Grant) else None,
    }


class AccessRequestFilter(InProjectFilter):
    """Filter requests by tenant, project, state or model: those with such an item."""

    project = django_filters.CharFilter(method="with_item", label="Slug of a project")
    state = django_filters.ChoiceFilter(choices=AccessRequest.State.choices)
    model = django_filters.CharFilter(method="with_item", label="Public name of a model")

    def with_item(self, requests: Any, name: str, value: str) -> Any:
        """Narrow to requests with an item that has all that is asked of items."""
        wanted = {
            field: said
            for key, field in (("project", "project__slug"), ("model", "model__name"))
            if (said := self.form.cleaned_data.get(key))
        }
        items = RequestItem.unscoped.filter(access_request=OuterRef("pk"), **wanted)
        return requests.filter(Exists(items))


@extend_schema_view(
    list=extend_schema(description="Requests of your tenants (reviewers: of all), newest first.")
)
class AccessRequestViewSet(RequestStepsViewSet, viewsets.ReadOnlyModelViewSet[AccessRequest]):
    """Requests of projects to use models. Reviews decide them."""

    model, serializer_class, filterset_class = AccessRequest, AccessRequestSerializer, AccessRequestFilter
    token_scope = TokenScope.REQUESTS

    def get_queryset(self) -> QuerySet[AccessRequest]:
        decisions = (
            ReviewDecision.objects.across_tenants()
            .select_related("reviewer", "delegation__giver")
            .order_by("at")
        )
        reviews = Review.objects.across_tenants().select_related("track").order_by("due_at", "pk")
        return (
            super()
            .get_queryset()
            .select_related("tenant", "requested_by")
            .prefetch_related(
                *PARTS_OF_ITEMS,
                "evaluations",
                "answers__question_set",
                Prefetch("reviews", reviews.prefetch_related(Prefetch("decisions", decisions))),
            )
        )

    @extend_schema(
        request=NewAccessRequestSerializer,
        responses={201: AccessRequestSerializer},
        parameters=[IDEMPOTENT],
        examples=[
            OpenApiExample(
                "A request",
                {
                    "project": "letters",
                    "model": "gpt-oss-120b",
                    "purpose": "Draft replies to letters; a person reads every one.",
                    "expected_tokens_per_day": 200000,
                    "data_class": "internal",
                    "limits": {"requests_per_minute": "3"},
                    "duration_days": 90,
                },
                request_only=True,
            ),
            OpenApiExample(
                "Two models",
                {
                    "project": "letters",
                    "model": "gpt-oss-120b",
                    "purpose": "Draft replies to letters, found among earlier ones.",
                    "expected_tokens_per_day": 200000,
                    "more": [{"model": "bge-m3", "expected_tokens_per_day": 1000000}],
                },
                request_only=True,
            ),
        ],
    )
    def create(self, request: Request) -> Response:
        """Request a model, or several that are decided together."""
        named = ProjectNameSerializer(data=request.data)
        named.is_valid(raise_exception=True)
        project, user = _find_project(request, named.validated_data["project"]), signed_in(request)
        raise_access_request.require_permission(user, project)

        def action() -> Response:
            raise_access_request.require(user, project)
            wanted = NewAccessRequestSerializer(data=request.data)
            wanted.is_valid(raise_exception=True)
            said = {name: value for name, value in wanted.validated_data.items() if name != "project"}
            into_key = _own_key(user, said.pop("into_key", None))
            more = [_wanted_item(request, one, project) for one in said.pop("more", [])]
            raised = raise_access_request(
                project, said.pop("model"), by=user, more=more, into_key=into_key, **said
            )
            return Response(self._serialized(raised.pk), status=status.HTTP_201_CREATED)

        return idempotent(request, action)

    @extend_schema(request=None, responses=AccessRequestSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Withdraw an open request."""
        found = self.subject_of(withdraw_access_request)
        require_no_fields(request.data)
        withdrawn = withdraw_access_request(found.pk, by=signed_in(request))
        return Response(self._serialized(withdrawn.pk))

    @extend_schema(request=NewReviewSerializer, responses=AccessRequestSerializer)
    @action(detail=True, methods=["post"], token_scope=TokenScope.PLATFORM)
    def reviews(self, request: Request, pk: str) -> Response:
        """Decide one track. A rejection needs a comment."""
        access_request, review = self._reviewed(request)
        decide_review.require(signed_in(request), review)
        said = NewReviewSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        if review.tenant_id is None:
            raise ValidationError({"track": [_("This request needs no such review.")]})
        decide_review(
            review.pk,
            by=signed_in(request),
            verdict=said.validated_data["verdict"],
            comment=said.validated_data["comment"],
            seen=None if (facts := said.validated_data["facts"]) is None else read_facts(facts),
        )
        return Response(self._serialized(access_request.pk))


def _own_key(user: User, pk: UUID | None) -> ApiKey | None:
    """The key of the person that is to get the models. Raises ValidationError if there is no such key."""
    if pk is None:
        return None
    key = own_keys(user).filter(pk=pk).first()
    if key is None:
        raise ValidationError({"into_key": _("Choose a key of this project that is yours and still in use.")})
    return key


def _wanted_item(request: Request, said: Mapping[str, Any], project: Project) -> WantedItem:
    """A further item of a new request. Raises 404 if the person cannot see its project."""
    values = {name: value for name, value in said.items() if name not in ("project", "model")}
    named = said.get("project")
    return WantedItem(_find_project(request, named) if named else project, said["model"], **values)


def _find_project(request: Request, said: str) -> Project:
    """A project by id or by an unambiguous slug. Raises 404 if the person cannot see it."""
    projects = Project.objects.visible_to(request.user).select_related("tenant")
    try:
        found = list(projects.filter(pk=UUID(said)))
    except ValueError:
        found = list(projects.filter(slug=said)[:2])
    if len(found) > 1:
        raise ValidationError({"project": [_("Several of your tenants have such a project. Give its id.")]})
    if not found:
        raise Http404
    return found[0]
