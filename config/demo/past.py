"""Where the demo's usage comes from: each project used its models before, and moved here with its keys.

So each has a request for every model that it calls, approved on the day of the move, a grant for the time before,
and a key from then. The actions write down what people do; these rows say what a move brings along, and the audit log
says of each grant that the platform gave it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.utils.timezone import now

import audit
from accounts.models import User
from billing.demo_rule import DEMO_MODELS, DEMO_TENANTS
from billing.models import UsageImport
from catalog import rules
from catalog.actions.access_requests import write_cost
from catalog.actions.evaluations import evaluate_in_english, record_evaluation
from catalog.asked_facts import as_json, facts_of_items
from catalog.models import (
    AccessRequest,
    CatalogModel,
    Grant,
    RequestItem,
    Review,
    ReviewDecision,
    RuleEvaluation,
    Track,
)
from config.demo.people import PEOPLE
from core.secrets import digest, new_key_secret, visible_prefix
from tenants.models import ApiKey, DataClass, Project, Tenant
from tenants.revision import raise_revision
from tenants.roles import Role

# What the demo's provider may receive (config/demo/provider.py).
HIGHEST: Final = DataClass.CONFIDENTIAL
TOKENS_PER_DAY: Final = 1_000_000
# Who asks for a tenant, the first role that somebody has there.
ASKING: Final = (Role.OWNER, Role.DEVELOPER)
PURPOSES: Final = {
    "customer-letters": "Draft replies to letters. A clerk reads and sends every one.",
    "fraud-review": "Summarize reported cases, without names, for the people who decide them.",
    "developer-tools": "Explain and complete code in the editors of our developers.",
    "product-search": "Rewrite what customers type into queries of the shop's search.",
    "store-support": "Answer questions of store staff from the handbook.",
    "catalog-texts": "Write first versions of product descriptions.",
    "discharge-letters": "Draft parts of discharge letters from notes without names.",
    "coding-desk": "Suggest billing codes for findings without names. The coding desk checks them.",
    "literature": "Summarize published studies.",
}


@transaction.atomic
def load_past(begins: datetime) -> None:
    """Give each project of the demo access to the models that it uses, from `begins` on.

    Does nothing once usage is imported: usage of an earlier release belongs to other keys, and stays theirs.
    """
    if UsageImport.objects.across_tenants().exists():
        return
    models = list(CatalogModel.objects.published().filter(name__in=DEMO_MODELS).order_by("name"))
    reviewers = {
        track.name: User.objects.get(email=person.email)
        for track in rules.TRACKS.values()
        for person in PEOPLE
        if person.role == track.first_role
    }
    for row in DEMO_TENANTS:
        tenant = Tenant.objects.get(slug=row.slug)
        members = [person for person in PEOPLE if person.tenant == row.slug]
        asking = next(person for role in ASKING for person in members if person.role == role)
        requester = User.objects.get(email=asking.email)
        for project in Project.objects.in_tenant(tenant).filter(slug__in=PURPOSES).order_by("slug"):
            project.tenant = tenant
            for model in models:
                item = _approved(project, model, requester, reviewers, begins)
                key = item.key = _key(item, begins)
                item.save(update_fields=["key"])
                grant = Grant.objects.create(
                    tenant=tenant,
                    project=project,
                    model=model,
                    item=item,
                    owner=requester,
                    valid_from=begins,
                    valid_until=key.expires_at,
                )
                audit.record(
                    "grant.given", actor=None, subject=grant, model=model.name, valid_until=grant.valid_until
                )
            raise_revision(projects=[project.pk])


def _approved(
    project: Project, model: CatalogModel, requester: User, reviewers: dict[str, User], begins: datetime
) -> RequestItem:
    tenant = project.tenant
    allowed = (DataClass(model.highest_data_class), DataClass(tenant.highest_data_class), HIGHEST)
    data_class = min(allowed, key=lambda one: one.rank)
    item = RequestItem(
        tenant=tenant,
        project=project,
        model=model,
        data_class=data_class,
        expected_tokens_per_day=TOKENS_PER_DAY,
    )
    asked = facts_of_items([item], 365)
    write_cost(asked[0])
    table, said = evaluate_in_english(asked)
    tracks = Track.objects.select_related("calendar").in_bulk(field_name="code")
    asked_at = now() - timedelta(days=1)
    request = AccessRequest.objects.create(
        tenant=tenant,
        requested_by=requester,
        purpose=f"{PURPOSES[project.slug]} In use since {begins:%B %Y}; moved here with its keys.",
        facts=as_json(asked),
        created_at=asked_at,
    )
    item.access_request = request
    item.save(force_insert=True)
    record_evaluation(request, asked, table, said, occasion=RuleEvaluation.Occasion.RAISED)
    for one in said.reviews:
        review = Review.objects.create(
            tenant=tenant,
            access_request=request,
            track=tracks[one.track],
            reason=one.reason,
            created_at=asked_at,
            due_at=tracks[one.track].due_at(asked_at),
        )
        ReviewDecision.objects.create(
            tenant=tenant,
            review=review,
            reviewer=reviewers[one.track],
            verdict=ReviewDecision.Verdict.APPROVE,
            facts=as_json(asked),
        )
        review.state, review.decided_at = Review.State.APPROVED, now()
        review.save(update_fields=["state", "decided_at"])
    # The database takes no decision of the past.
    request.state, request.decided_at = AccessRequest.State.APPROVED, now()
    request.save(update_fields=["state", "decided_at"])
    item.is_open = False
    return item


def _key(item: RequestItem, begins: datetime) -> ApiKey:
    """A key that was claimed when the time before began. Nobody has seen its secret."""
    request = item.access_request
    assert request.decided_at is not None
    secret = new_key_secret()
    return ApiKey.objects.create(
        tenant=request.tenant,
        project=item.project,
        name=item.model.name[:80],
        model_names=[item.model.name],
        state=ApiKey.State.ACTIVE,
        prefix=visible_prefix(secret),
        digest=digest(secret),
        created_at=begins,
        created_for=request.requested_by,
        owner=request.requested_by,
        claimed_at=begins,
        claimed_by=request.requested_by,
        expires_at=request.decided_at + timedelta(days=request.duration_days),
    )


def note_last_use() -> None:
    """Say of each key of the demo when it was last used, as gateways say of theirs."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST_USE)


_LAST_USE: Final = """
UPDATE tenants_apikey k SET last_used_at = used.at
FROM (SELECT tenant_id, key_id, max(occurred_at) AS at FROM usage_event GROUP BY 1, 2) used
WHERE k.tenant_id = used.tenant_id AND k.id = used.key_id AND (k.last_used_at IS NULL OR k.last_used_at < used.at)
"""
