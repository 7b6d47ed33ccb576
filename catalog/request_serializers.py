"""Access requests, their reviews, and grants in the HTTP API."""

from __future__ import annotations

from typing import Any, ClassVar, Final
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import User
from catalog.actions.access_requests import LONGEST_DAYS, MOST_ITEMS
from catalog.actions.comments import LONGEST_COMMENT
from catalog.actions.facts import notice_of
from catalog.models import (
    AccessRequest,
    CatalogModel,
    Grant,
    QuestionAnswers,
    RequestComment,
    RequestItem,
    Review,
    ReviewDecision,
    Track,
)
from catalog.pace import paces_of
from core.serializers import StrictModelSerializer, StrictSerializer
from core.stored_words import retold
from tenants.models import DataClass, Limit, Project, Tenant


class DecisionSerializer(StrictModelSerializer[ReviewDecision]):
    reviewer = serializers.CharField(source="reviewer.email", read_only=True)
    in_place_of = serializers.CharField(
        source="delegation.giver.email",
        read_only=True,
        default=None,
        allow_null=True,
        help_text="Who had delegated this decision to the reviewer; null: nobody.",
    )

    class Meta:
        model = ReviewDecision
        fields = ["reviewer", "in_place_of", "verdict", "comment", "at", "round", "facts"]


class ReviewSerializer(StrictModelSerializer[Review]):
    track = serializers.CharField(source="track_id", read_only=True, help_text="Code of the track.")
    decisions = DecisionSerializer(many=True, read_only=True)
    usual_working_hours = serializers.SerializerMethodField(
        help_text="The median of the last 30 days, of an open review; null: too few were decided."
    )

    class Meta:
        model = Review
        fields = [
            "track",
            "reason",
            "state",
            "round",
            "opened_by_facts",
            "usual_working_hours",
            "due_at",
            "escalated_at",
            "decided_at",
            "decisions",
        ]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "round": {
                "help_text": "Decisions of earlier rounds do not count, because the facts became worse."
            },
            "opened_by_facts": {"help_text": "It was not required, or not again, when access was requested."},
        }

    def get_usual_working_hours(self, review: Review) -> float | None:
        if review.state != Review.State.PENDING:
            return None
        context: Any = self.context
        if "paces" not in context:
            # Once for an answer with many requests.
            context["paces"] = paces_of(Track.objects.select_related("calendar"))
        pace = context["paces"].get(review.track_id)
        return pace.hours if pace else None


class RequestItemSerializer(StrictModelSerializer[RequestItem]):
    project = serializers.SlugRelatedField[Project](slug_field="slug", read_only=True)
    model = serializers.SlugRelatedField[CatalogModel](slug_field="name", read_only=True)
    grant = serializers.SerializerMethodField()
    key = serializers.SerializerMethodField(help_text="The key that got the model; null before approval.")

    class Meta:
        model = RequestItem
        fields = [
            "id", "project", "model", "data_class", "expected_tokens_per_day", "limits", "expected_monthly_cost",
            "currency", "grant", "into_key", "key",
        ]  # fmt: skip

        extra_kwargs: ClassVar[dict[str, Any]] = {
            "into_key": {"help_text": "The key that the requester chose; null: a new one."}
        }

    def get_grant(self, item: RequestItem) -> UUID | None:
        grant = getattr(item, "grant", None)
        return grant.pk if grant else None

    def get_key(self, item: RequestItem) -> UUID | None:
        return item.key_id


_ONLY: Final[dict[str, Any]] = {
    "read_only": True,
    "allow_null": True,
    "help_text": "Of its item; null if it has several.",
}


class QuestionAnswersSerializer(StrictModelSerializer[QuestionAnswers]):
    track = serializers.CharField(
        source="question_set.track_id", read_only=True, help_text="Code of the track."
    )
    version = serializers.IntegerField(
        source="question_set.version", read_only=True, help_text="Of the track's questions."
    )
    answers = serializers.JSONField(read_only=True, help_text="By code of the question.")

    class Meta:
        model = QuestionAnswers
        fields = ["track", "version", "answers", "at"]


class AccessRequestSerializer(StrictModelSerializer[AccessRequest]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    items = RequestItemSerializer(many=True, read_only=True)
    project = serializers.CharField(source="only_item.project.slug", **_ONLY)
    model = serializers.CharField(source="only_item.model.name", **_ONLY)
    data_class = serializers.ChoiceField(DataClass.choices, source="only_item.data_class", **_ONLY)
    expected_tokens_per_day = serializers.IntegerField(source="only_item.expected_tokens_per_day", **_ONLY)
    limits = serializers.JSONField(source="only_item.limits", **_ONLY)
    requested_by = serializers.CharField(source="requested_by.email", read_only=True)
    expected_monthly_cost = serializers.DecimalField(
        20, 8, read_only=True, allow_null=True, help_text="Of all items; null if one of them has no price."
    )
    currency = serializers.CharField(read_only=True)
    facts = serializers.JSONField(
        read_only=True, help_text="The facts that the rules considered, by id of the item."
    )
    reviews = ReviewSerializer(many=True, read_only=True)
    answers = serializers.SerializerMethodField()
    notice = serializers.SerializerMethodField(
        help_text="Reviews that it needs now in addition to the first ones, with the reasons. Usually empty."
    )
    grant = serializers.SerializerMethodField(help_text="Of its item; null if it has several.")
    key = serializers.SerializerMethodField(
        help_text="The key to claim, or the claimed key; null if its items have several."
    )

    class Meta:
        model = AccessRequest
        fields = [
            "id", "reference", "tenant", "items", "project", "model", "requested_by", "purpose", "data_class",
            "expected_tokens_per_day", "limits", "duration_days", "expected_monthly_cost", "currency", "state",
            "created_at", "resent_at", "decided_at", "rule_version", "facts", "reviews", "answers", "notice", "grant",
            "key",
        ]  # fmt: skip

    @extend_schema_field(QuestionAnswersSerializer(many=True))
    def get_answers(self, access_request: AccessRequest) -> Any:
        newest = {
            one.question_set.track_id: one
            for one in sorted(access_request.answers.all(), key=lambda one: one.at)
        }
        return QuestionAnswersSerializer(list(newest.values()), many=True).data

    def get_notice(self, access_request: AccessRequest) -> str:
        return notice_of(list(access_request.reviews.all()))

    def get_grant(self, access_request: AccessRequest) -> UUID | None:
        grant = getattr(access_request.only_item, "grant", None)
        return grant.pk if grant else None

    def get_key(self, access_request: AccessRequest) -> UUID | None:
        keys = {item.key_id for item in access_request.named_items()}
        return keys.pop() if len(keys) == 1 else None


class ProjectNameSerializer(StrictSerializer):
    """`project` is an id, or a slug that only one of your tenants has."""

    reads_everything = False
    project = serializers.CharField(max_length=60)


@extend_schema_field(
    {"type": "object", "properties": {kind: {"type": "string"} for kind in Limit.Kind.values}}
)
class WantedLimitsField(serializers.DictField):
    """Numbers by kind of limit, which the action reads: it refuses other kinds."""

    child = serializers.CharField()


class FurtherItemSerializer(StrictSerializer):
    project = serializers.CharField(
        max_length=60, required=False, help_text="Default: the project of the request."
    )
    model = serializers.CharField(max_length=120, help_text="Public name, as in models/.")
    expected_tokens_per_day = serializers.IntegerField(min_value=1)
    data_class = serializers.ChoiceField(DataClass.choices, default=DataClass.INTERNAL)
    limits = WantedLimitsField(required=False)


class TrackAnswersField(serializers.DictField):
    """Answers by track and code of the question, which the action reads."""

    child = serializers.DictField()


_ANSWERED: Final = (
    'To the questions of tracks (tracks/), by track and code: {"compliance": {"eu_use": true}}. If the request needs '
    "a track whose questions are not answered, the answer is 400 and names them, such as `answers.compliance.eu_use`."
)


class NewAccessRequestSerializer(ProjectNameSerializer):
    """A new request. `project` is an id, or a slug that only one of your tenants has."""

    reads_everything = True
    model = serializers.CharField(max_length=120, help_text="Public name, as in models/.")
    purpose = serializers.CharField(max_length=2000)
    expected_tokens_per_day = serializers.IntegerField(min_value=1)
    data_class = serializers.ChoiceField(DataClass.choices, default=DataClass.INTERNAL)
    limits = WantedLimitsField(required=False, help_text='By kind: {"requests_per_minute": "3"}')
    duration_days = serializers.IntegerField(min_value=1, max_value=LONGEST_DAYS, default=365)
    into_key = serializers.UUIDField(
        required=False,
        allow_null=True,
        help_text="Your key, or one of a service account that you answer for, that gets the models of this project. "
        "Default: a new key to claim.",
    )
    more = serializers.ListField(
        child=FurtherItemSerializer(),
        required=False,
        max_length=MOST_ITEMS - 1,
        help_text="Further models, decided together with the first. Errors name them `items.1` and so on.",
    )
    answers = TrackAnswersField(required=False, help_text=_ANSWERED)


class ResentItemSerializer(StrictSerializer):
    id = serializers.UUIDField()
    expected_tokens_per_day = serializers.IntegerField(min_value=1, required=False)
    data_class = serializers.ChoiceField(DataClass.choices, required=False)
    limits = WantedLimitsField(required=False)


class ResendSerializer(StrictSerializer):
    """What is changed in a returned request. What is left out stays as it was."""

    purpose = serializers.CharField(max_length=2000, required=False)
    expected_tokens_per_day = serializers.IntegerField(min_value=1, required=False)
    data_class = serializers.ChoiceField(DataClass.choices, required=False)
    limits = WantedLimitsField(
        required=False, help_text="All limits; a limit left out is no longer asked for."
    )
    duration_days = serializers.IntegerField(min_value=1, max_value=LONGEST_DAYS, required=False)
    items = serializers.ListField(
        child=ResentItemSerializer(),
        required=False,
        max_length=MOST_ITEMS,
        help_text="Of a request with several models, what changes in each: the three fields, by id of the item.",
    )
    answers = TrackAnswersField(required=False, help_text=_ANSWERED)

    def validate_items(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each item once: of two, one would be dropped."""
        if len({one["id"] for one in items}) < len(items):
            raise serializers.ValidationError(_("The same item is named twice."))
        return items


class NewReviewSerializer(StrictSerializer):
    track = serializers.SlugRelatedField(
        slug_field="code",
        queryset=Track.objects.all(),
        help_text="Code of the track, such as `security`.",
    )
    verdict = serializers.ChoiceField(ReviewDecision.Verdict.choices)
    comment = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)
    facts = serializers.DictField(
        required=False,
        allow_null=True,
        default=None,
        help_text="The request's `facts` as you have read them, by id of the item. If the facts of your track have "
        "become worse, the answer is 409 `facts_changed` and nothing is decided. Default: the facts "
        "that the request shows.",
    )


class StepBackSerializer(StrictSerializer):
    track = serializers.SlugRelatedField(
        slug_field="code",
        queryset=Track.objects.all(),
        help_text="Code of a track that you decide. You leave all reviews of the request.",
    )
    reason = serializers.CharField(max_length=500, help_text="Reviewers and the audit log show it.")


class NewCommentSerializer(StrictSerializer):
    text = serializers.CharField(
        max_length=LONGEST_COMMENT,
        help_text="`@` and an e-mail address mention a person, if they can see the request.",
    )


class CommentSerializer(StrictModelSerializer[RequestComment]):
    author = serializers.CharField(source="author.email", read_only=True)

    class Meta:
        model = RequestComment
        fields = ["id", "author", "capacity", "text", "mentions", "at"]
        read_only_fields = ["capacity", "mentions"]
        extra_kwargs: ClassVar[dict[str, Any]] = {
            "capacity": {"help_text": "What the author was to the request when they wrote."},
            "text": {"help_text": "`@[…]` with the id of a person is a mention."},
            "mentions": {
                "help_text": "Ids of the people whom the text mentions, and who could see the request then."
            },
        }


class GrantSerializer(StrictModelSerializer[Grant]):
    tenant = serializers.SlugRelatedField[Tenant](slug_field="slug", read_only=True)
    project = serializers.SlugRelatedField[Project](slug_field="slug", read_only=True)
    model = serializers.SlugRelatedField[CatalogModel](slug_field="name", read_only=True)
    access_request = serializers.UUIDField(source="item.access_request_id", read_only=True)
    key = serializers.UUIDField(
        source="item.key_id", read_only=True, allow_null=True, help_text="The key that got the model."
    )
    owner = serializers.SlugRelatedField[User](
        slug_field="email", read_only=True, allow_null=True, help_text="Who answers for it."
    )
    state = serializers.ChoiceField(choices=Grant.State.choices, read_only=True)
    revoked_reason = serializers.SerializerMethodField()

    class Meta:
        model = Grant
        fields = [
            "id", "tenant", "project", "model", "access_request", "key", "owner", "state", "valid_from", "valid_until",
            "suspended_at", "revoked_at", "revoked_reason", "created_at",
        ]  # fmt: skip

    def get_revoked_reason(self, grant: Grant) -> str:
        """Why it was revoked, in the language of the answer; empty if it was not."""
        return retold(grant.revoked_reason)


class RevokeGrantSerializer(StrictSerializer):
    """Why a grant is revoked."""

    reason = serializers.CharField(
        max_length=Grant.LONGEST_REASON, help_text="People who use the model in this project read it."
    )


class RenewGrantSerializer(StrictSerializer):
    """Whether the person knows what has changed since the grant was approved."""

    accepts_changes = serializers.BooleanField(
        required=False, default=False, help_text="true: renew although facts have changed since."
    )
