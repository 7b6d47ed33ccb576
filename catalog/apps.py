from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class CatalogConfig(AppConfig):
    name = "catalog"
    verbose_name = _("Catalog")

    def ready(self) -> None:
        from accounts.outbox.events import declare
        from accounts.signals import staff_roles_changed
        from billing.signals import prices_published
        from catalog import database_conflicts, digests, suggestions, tenant_ends
        from catalog.actions.review_scopes import drop_rights_of_former_reviewers
        from catalog.actions.review_teams import leave_teams
        from catalog.first_questions import make_first_questions
        from catalog.first_rules import make_first_rules
        from catalog.first_tracks import make_first_tracks
        from catalog.grant_owners import follow_rights
        from catalog.list_price_columns import follow_publication
        from catalog.owned_grants import OwnedGrants
        from catalog.owned_requests import OpenRequests
        from core import database_conflicts as conflicts
        from tenants import signals
        from tenants.actions import owned_resources
        from tenants.views import suggestions as suggested

        staff_roles_changed.connect(drop_rights_of_former_reviewers)
        staff_roles_changed.connect(leave_teams)
        prices_published.connect(follow_publication)
        post_migrate.connect(make_first_tracks, sender=self)
        # After the tracks.
        post_migrate.connect(make_first_rules, sender=self)
        post_migrate.connect(make_first_questions, sender=self)
        signals.tenant_closed.connect(tenant_ends.end_requests_and_grants)
        signals.impact_wanted.connect(tenant_ends.count_stakes)
        signals.rights_changed.connect(follow_rights)
        owned_resources.register(OpenRequests())
        owned_resources.register(OwnedGrants())
        conflicts.register(database_conflicts.SENTENCES)
        suggested.register("offered-models", suggestions.offered_models)
        declare(digests.REVIEW_DIGEST)
