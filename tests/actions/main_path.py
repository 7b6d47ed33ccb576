"""Actions of the main path: requests, reviews, grants, keys, costs."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal

from django.utils.timezone import now

from catalog.models import Attestation, AttestationCampaign, Grant, Review, ReviewDecision
from exports.models import Export
from tests.actions.tracks import campaign
from tests.factories import AccessRequestFactory, ApiKeyFactory, ReviewFactory, member_of, staff
from tests.role_matrix import Action, EntryPoint

ASKING = {
    "project": "{w.project.pk}",
    "purpose": "Draft replies to letters; a person reads every one.",
    "data_class": "internal",
    "expected_tokens_per_day": "1000",
    "duration_days": "30",
}


def own_request(world, actor):
    return AccessRequestFactory(
        tenant=world.tenant, project=world.project, model=world.model, requested_by=actor
    )


def somebodys_request(world, actor):
    return AccessRequestFactory(
        tenant=world.tenant,
        project=world.project,
        model=world.model,
        requested_by=member_of(world.tenant, "developer"),
    )


def somebodys_request_in_review(world, actor):
    request = somebodys_request(world, actor)
    request.review = ReviewFactory(tenant=world.tenant, access_request=request, track_id="security")
    return request


def own_request_returned(world, actor):
    request = own_request(world, actor)
    review = ReviewFactory(tenant=world.tenant, access_request=request, track_id="security")
    ReviewDecision.objects.create(
        tenant=world.tenant,
        review=review,
        reviewer=staff("security-reviewer"),
        verdict="return",
        comment="Why?",
    )
    request.move_to("returned")
    request.save(update_fields=["state"])
    return request


def claimable_key(world, actor):
    return ApiKeyFactory.claimable(tenant=world.tenant, project=world.project)


def active_key(world, actor):
    return ApiKeyFactory(tenant=world.tenant, project=world.project)


def review(track):
    def review(world, actor):
        return ReviewFactory(
            tenant=world.tenant, access_request=somebodys_request(world, actor), track_id=track
        )

    return review


def grant(world, actor):
    access_request = somebodys_request(world, actor)
    decided = ReviewFactory(tenant=world.tenant, access_request=access_request)
    ReviewDecision.objects.create(
        tenant=world.tenant, review=decided, reviewer=staff("security-reviewer"), verdict="approve"
    )
    Review.objects.across_tenants().filter(pk=decided.pk).update(state="approved", decided_at=now())
    access_request.move_to("approved")
    access_request.decided_at = now()
    access_request.save()
    item = access_request.items.get()
    item.key = claimable_key(world, actor)
    item.save()
    return Grant.objects.create(
        tenant=world.tenant,
        project=world.project,
        model=world.model,
        item=item,
        valid_until=now() + timedelta(days=1),
    )


def attestation(world, actor):
    """Of a grant that nobody answers for yet, in an open campaign."""
    opened = campaign(world, actor)
    row = Attestation.objects.create(tenant=world.tenant, campaign=opened, grant=grant(world, actor))
    AttestationCampaign.objects.filter(pk=opened.pk).update(state="open", opened_at=now())
    return row


def grant_that_ends(world, actor):
    """In the second half of its time."""
    given = grant(world, actor)
    Grant.objects.across_tenants().filter(pk=given.pk).update(valid_from=now() - timedelta(days=2))
    return given


def finished_export(world, actor):
    from exports.files import path_of

    export = Export.objects.create(
        tenant=world.tenant,
        kind="costs",
        start_day=date(2026, 1, 1),
        end_day=date(2026, 1, 31),
        requested_by=world.members["finance"],
        currency="USD",
        state=Export.State.DONE,
        finished_at=now(),
        expires_at=now() + timedelta(days=1),
        rows_total=0,
        rows_done=0,
        total=Decimal(0),
        size_bytes=4,
        sha256="0" * 64,
    )
    path = path_of(export)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"day\n")
    return export


def _review(track):
    return Action(
        f"decide a {track} review",
        "catalog.actions.decide_review",
        subject=review(track),
        api=EntryPoint(
            "POST /api/v1/access-requests/{it.access_request_id}/reviews/",
            {"track": track, "verdict": "approve", "comment": "Fine."},
        ),
        admin=EntryPoint(
            "POST /admin/catalog/review/{it.pk}/change/", {"verdict": "approve", "comment": "Fine."}
        ),
    )


ROAD_ACTIONS = [
    Action(
        "find models",
        page=EntryPoint("GET /t/{w.tenant.slug}/models/"),
    ),
    Action(
        "read requests",
        subject=somebodys_request,
        page=EntryPoint("GET /t/{w.tenant.slug}/requests/{it.pk}/"),
        api=EntryPoint("GET /api/v1/access-requests/{it.pk}/"),
    ),
    Action(
        "comment on a request",
        "catalog.actions.comment_on_request",
        subject=somebodys_request_in_review,
        page=EntryPoint("POST /t/{w.tenant.slug}/requests/{it.pk}/comments/", {"text": "When?"}),
        api=EntryPoint("POST /api/v1/access-requests/{it.pk}/comments/", {"text": "When?"}),
        admin=EntryPoint("POST /admin/catalog/review/{it.review.pk}/comment/", {"text": "When?"}),
    ),
    Action(
        "send one's own request again with changes",
        "catalog.actions.resend_access_request",
        subject=own_request_returned,
        page=EntryPoint("POST /t/{w.tenant.slug}/requests/{it.pk}/change/", ASKING),
        api=EntryPoint("POST /api/v1/access-requests/{it.pk}/resend/", {"duration_days": 30}),
    ),
    Action(
        "read what keys there are",
        subject=active_key,
        page=EntryPoint("GET /t/{w.tenant.slug}/keys/", shows="{it.name}"),
        api=EntryPoint("GET /api/v1/keys/{it.pk}/"),
    ),
    Action(
        "ask for a model",
        "catalog.actions.raise_access_request",
        page=EntryPoint("POST /t/{w.tenant.slug}/models/{w.model.name}/request/", ASKING),
        api=EntryPoint("POST /api/v1/access-requests/", ASKING | {"model": "{w.model.name}"}),
    ),
    Action(
        "withdraw one's own request",
        "catalog.actions.withdraw_access_request",
        subject=own_request,
        page=EntryPoint("POST /t/{w.tenant.slug}/requests/{it.pk}/withdraw/"),
        api=EntryPoint("POST /api/v1/access-requests/{it.pk}/withdraw/"),
    ),
    Action(
        "withdraw somebody else's request",
        "catalog.actions.withdraw_access_request",
        subject=somebodys_request,
        page=EntryPoint("POST /t/{w.tenant.slug}/requests/{it.pk}/withdraw/"),
        api=EntryPoint("POST /api/v1/access-requests/{it.pk}/withdraw/"),
    ),
    Action(
        "claim a key",
        "tenants.actions.claim_api_key",
        subject=claimable_key,
        page=EntryPoint("POST /t/{w.tenant.slug}/keys/{it.pk}/claim/"),
        api=EntryPoint("POST /api/v1/keys/{it.pk}/claim/"),
    ),
    Action(
        "revoke a key",
        "tenants.actions.revoke_api_key",
        subject=active_key,
        page=EntryPoint("POST /t/{w.tenant.slug}/keys/{it.pk}/revoke/"),
        api=EntryPoint("POST /api/v1/keys/{it.pk}/revoke/"),
        admin=EntryPoint(
            "POST /admin/tenants/apikey/{it.pk}/revoke/", {"_form_submitted": "1", "reason": "Leaked."}
        ),
    ),
    Action(
        "end a grant",
        "catalog.actions.revoke_grant",
        subject=grant,
        page=EntryPoint("POST /t/{w.tenant.slug}/grants/{it.pk}/revoke/", {"reason": "The pilot is over."}),
        api=EntryPoint("POST /api/v1/grants/{it.pk}/revoke/", {"reason": "The pilot is over."}),
        admin=EntryPoint(
            "POST /admin/catalog/grant/{it.pk}/revoke/",
            {"_form_submitted": "1", "reason": "The pilot is over."},
        ),
    ),
    Action(
        "say whether a grant is still needed",
        "catalog.actions.campaigns.answer_attestation",
        subject=attestation,
        page=EntryPoint(
            "POST /t/{w.tenant.slug}/grants/still-needed/", {"answer": "confirmed", "chosen": "{it.pk}"}
        ),
        api=EntryPoint("POST /api/v1/attestations/{it.pk}/answer/", {"answer": "confirmed"}),
    ),
    Action(
        "renew a grant",
        "catalog.actions.renew_grant",
        subject=grant_that_ends,
        page=EntryPoint("POST /t/{w.tenant.slug}/grants/{it.pk}/renew/", {"accepts_changes": "on"}),
        api=EntryPoint("POST /api/v1/grants/{it.pk}/renew/", {"accepts_changes": True}),
    ),
    Action(
        "take over a grant whose owner left",
        "catalog.actions.take_over_grant",
        subject=grant,
        page=EntryPoint("POST /t/{w.tenant.slug}/grants/{it.pk}/take-over/"),
        api=EntryPoint("POST /api/v1/grants/{it.pk}/take-over/"),
    ),
    Action(
        "see costs",
        page=EntryPoint("GET /t/{w.tenant.slug}/cost/"),
        api=EntryPoint(
            "GET /api/v1/costs/", {"tenant": "{w.tenant.slug}", "start": "2026-01-01", "end": "2026-01-31"}
        ),
    ),
    Action(
        "order a cost report",
        "billing.cost_reports.ask_for_cost_report",
        page=EntryPoint(
            "POST /t/{w.tenant.slug}/exports/new/", lambda world, it: {"month": f"{now():%Y-%m}"}
        ),
        api=EntryPoint(
            "POST /api/v1/exports/",
            {"kind": "costs", "tenant": "{w.tenant.slug}", "start": "2026-01-01", "end": "2026-01-31"},
        ),
        admin=EntryPoint("POST /admin/exports/export/new/", {"tenant": "{w.tenant.pk}", "month": "2026-01"}),
    ),
    Action(
        "download a cost report",
        "exports.actions.file_for_download",
        subject=finished_export,
        page=EntryPoint("GET /t/{w.tenant.slug}/exports/{it.pk}/download/"),
        api=EntryPoint("GET /api/v1/exports/{it.pk}/download/"),
        admin=EntryPoint("GET /admin/exports/export/{it.pk}/download/"),
    ),
    _review("security"),
    _review("compliance"),
    _review("cost"),
    Action(
        "step back from a security review",
        "catalog.actions.recusals.step_back",
        subject=review("security"),
        api=EntryPoint(
            "POST /api/v1/access-requests/{it.access_request_id}/step-back/",
            {"track": "security", "reason": "My sister asked."},
        ),
        admin=EntryPoint(
            "POST /admin/catalog/review/{it.pk}/step-back/",
            {"_form_submitted": "1", "reason": "My sister asked."},
        ),
    ),
    Action(
        "decide several security reviews",
        "catalog.actions.decide_review",
        subject=review("security"),
        admin=EntryPoint(
            "POST /admin/catalog/review/decide-many/",
            lambda world, it: {
                "review": str(it.pk),
                f"seen-{it.pk}": json.dumps(it.access_request.facts),
                "verdict": "approve",
                "comment": "Fine.",
            },
            shows="1 of 1 review is decided",
        ),
    ),
]
