"""WHAT may be used: models and their offers, access requests, reviews, grants."""

from catalog.models.comments import RequestComment
from catalog.models.delegations import ReviewDelegation
from catalog.models.offered import PUBLIC_NAME, CatalogImport, CatalogModel, ModelVersion, Offer
from catalog.models.requests import (
    AccessRequest,
    Grant,
    RequestDelegate,
    Review,
    ReviewDecision,
    RuleEvaluation,
)
from catalog.models.rules import Rule, RuleSet
from catalog.models.teams import ReviewTeam
from catalog.models.tracks import ReviewScope, Track, WorkingCalendar

__all__ = [
    "PUBLIC_NAME",
    "AccessRequest",
    "CatalogImport",
    "CatalogModel",
    "Grant",
    "ModelVersion",
    "Offer",
    "RequestComment",
    "RequestDelegate",
    "Review",
    "ReviewDecision",
    "ReviewDelegation",
    "ReviewScope",
    "ReviewTeam",
    "Rule",
    "RuleEvaluation",
    "RuleSet",
    "Track",
    "WorkingCalendar",
]
