"""WHAT may be used: models and their offers, access requests, reviews, grants."""

from catalog.models.attestations import Attestation, AttestationCampaign
from catalog.models.comments import RequestComment
from catalog.models.delegations import ReviewDelegation
from catalog.models.documents import ModelDocument
from catalog.models.imports import CatalogImport, ImportEntry
from catalog.models.items import Grant, RequestItem
from catalog.models.offered import PUBLIC_NAME, CatalogModel, Offer
from catalog.models.planned import PlannedChange, PlannedChangeOfModel
from catalog.models.questions import Question, QuestionAnswers, QuestionSet
from catalog.models.recusals import ReviewRecusal
from catalog.models.requests import (
    AccessRequest,
    RequestDelegate,
    Review,
    ReviewDecision,
    RuleEvaluation,
)
from catalog.models.rules import Rule, RuleSet
from catalog.models.scores import EvaluationScore
from catalog.models.teams import ReviewTeam
from catalog.models.tracks import ReviewScope, Track, WorkingCalendar
from catalog.models.versions import ModelVersion

__all__ = [
    "PUBLIC_NAME",
    "AccessRequest",
    "Attestation",
    "AttestationCampaign",
    "CatalogImport",
    "CatalogModel",
    "EvaluationScore",
    "Grant",
    "ImportEntry",
    "ModelDocument",
    "ModelVersion",
    "Offer",
    "PlannedChange",
    "PlannedChangeOfModel",
    "Question",
    "QuestionAnswers",
    "QuestionSet",
    "RequestComment",
    "RequestDelegate",
    "RequestItem",
    "Review",
    "ReviewDecision",
    "ReviewDelegation",
    "ReviewRecusal",
    "ReviewScope",
    "ReviewTeam",
    "Rule",
    "RuleEvaluation",
    "RuleSet",
    "Track",
    "WorkingCalendar",
]
