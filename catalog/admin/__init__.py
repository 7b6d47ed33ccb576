"""Staff pages of the catalog."""

from catalog.admin.campaigns import AttestationAdmin, AttestationCampaignAdmin
from catalog.admin.delegations import ReviewDelegationAdmin
from catalog.admin.grants import GrantAdmin
from catalog.admin.import_entries import ImportEntryAdmin
from catalog.admin.imports import CatalogImportAdmin
from catalog.admin.offered import CatalogModelAdmin
from catalog.admin.planned import PlannedChangeAdmin
from catalog.admin.questions import QuestionAdmin, QuestionSetAdmin
from catalog.admin.requests import AccessRequestAdmin
from catalog.admin.reviews import ReviewAdmin
from catalog.admin.rules import RuleAdmin, RuleSetAdmin
from catalog.admin.teams import ReviewTeamAdmin
from catalog.admin.tracks import ReviewScopeAdmin, TrackAdmin, WorkingCalendarAdmin
from catalog.admin.versions import ModelVersionAdmin

__all__ = [
    "AccessRequestAdmin",
    "AttestationAdmin",
    "AttestationCampaignAdmin",
    "CatalogImportAdmin",
    "CatalogModelAdmin",
    "GrantAdmin",
    "ImportEntryAdmin",
    "ModelVersionAdmin",
    "PlannedChangeAdmin",
    "QuestionAdmin",
    "QuestionSetAdmin",
    "ReviewAdmin",
    "ReviewDelegationAdmin",
    "ReviewScopeAdmin",
    "ReviewTeamAdmin",
    "RuleAdmin",
    "RuleSetAdmin",
    "TrackAdmin",
    "WorkingCalendarAdmin",
]
