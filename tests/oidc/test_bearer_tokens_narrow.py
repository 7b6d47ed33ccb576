"""An access token of the provider that names scopes of ours gives no more than they do, to staff neither."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils.timezone import now

from directory.models import FederatedIdentity
from tenants.models import PersonalAccessToken
from tests.factories import member_of, staff
from tests.oidc.running_provider import AUDIENCE

pytestmark = pytest.mark.django_db


@pytest.fixture
def bearer(liar):
    """A header with a token of the provider for `user`, with these scopes."""

    def make(user, scope):
        FederatedIdentity.objects.get_or_create(user=user, issuer=liar.issuer, subject="eve")
        claims = liar.claims(aud=AUDIENCE, client_id="program", scope=scope, exp=int(time.time()) + 600)
        return {"Authorization": f"Bearer {liar.sign(claims, typ='at+jwt')}"}

    return make


@pytest.mark.parametrize(
    ("scope", "seen"),
    [(None, []), ("openid read", []), ("openid read platform", ["lab"])],
)
def test_staff_are_staff_by_the_scope_platform_alone(client, bearer, lab, scope, seen):
    answer = client.get("/api/v1/tenants/", headers=bearer(staff("operator"), scope))
    assert [tenant["slug"] for tenant in answer.json()["results"]] == seen


@pytest.mark.parametrize("scope", ["", "openid profile", [], ["openid"], 5, {}])
def test_a_token_whose_scope_names_none_of_ours_opens_nothing(client, bearer, lab, scope):
    owner = member_of(lab, "owner")
    answer = client.get("/api/v1/tenants/", headers=bearer(owner, scope))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    made = client.post(
        "/api/v1/tokens/",
        {"name": "t", "scopes": ["read"], "expires_at": (now() + timedelta(minutes=5)).isoformat()},
        content_type="application/json",
        headers=bearer(owner, scope),
    )
    assert made.status_code == 403
    assert not PersonalAccessToken.objects.exists()


@pytest.mark.parametrize(
    ("scopes", "life", "status"),
    [
        pytest.param(["manage"], timedelta(minutes=5), 201, id="no more"),
        pytest.param(["manage", "keys"], timedelta(minutes=5), 403, id="another scope"),
        pytest.param(["manage"], timedelta(days=365), 403, id="for longer"),
    ],
)
def test_it_makes_no_token_that_does_more_or_lives_longer(client, bearer, lab, scopes, life, status):
    answer = client.post(
        "/api/v1/tokens/",
        {"name": "t", "scopes": scopes, "expires_at": (now() + life).isoformat()},
        content_type="application/json",
        headers=bearer(member_of(lab, "admin"), "openid manage"),
    )
    assert answer.status_code == status, answer.json()
    assert PersonalAccessToken.objects.count() == (status == 201)
