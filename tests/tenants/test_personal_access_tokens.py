"""A token does what its scopes say, where it is bound to, while its owner may: and nothing else."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.timezone import now

from accounts.models import User
from audit.models import AuditEntry
from core.errors import Conflict
from core.secrets import digest, looks_like
from tenants.actions import add_member, issue_personal_access_token
from tenants.models import PersonalAccessToken, Tenant
from tenants.roles import TokenScope
from tenants.token_authentication import needed_scope
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, UserFactory
from tests.routes import all_routes

pytestmark = pytest.mark.django_db
DAY, YEAR = timedelta(days=1), timedelta(days=365)
PROJECTS, TOKENS = "/api/v1/projects/", "/api/v1/tokens/"


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def token_of(user, *scopes, life=DAY, **fields):
    return issue_personal_access_token(user, name="t", life=life, scopes=scopes or None, **fields)


@pytest.fixture
def elsewhere(developer):
    """A second tenant of the developer's, with a project."""
    tenant = TenantFactory(slug="second", name="Second")
    add_member(tenant, developer, "owner", by=None)
    ProjectFactory(tenant=tenant, slug="second-project")
    return tenant


@pytest.fixture
def robot(lab):
    """A service account of the lab."""
    user = UserFactory(name="Nightly", service_of=lab)
    add_member(lab, user, "developer", by=None)
    return user


# What opens, and what does not


def test_a_token_is_stored_as_a_digest_and_known_by_its_beginning(developer):
    token, secret = token_of(developer)
    assert looks_like("qmp", secret)
    assert token.digest == digest(secret)
    assert secret.startswith(token.prefix)
    line = AuditEntry.objects.across_tenants().get(verb="personal_access_token.issued")
    assert secret not in str(vars(line))
    assert token.digest not in str(vars(line))


@pytest.mark.parametrize(
    "end",
    [
        {"revoked_at": now()},
        {"suspended_at": now()},
        {"expires_at": now() - timedelta(seconds=1)},
    ],
    ids=["revoked", "suspended", "expired"],
)
def test_a_token_that_ended_gets_the_answer_of_one_that_never_was(client, developer, end):
    token, secret = token_of(developer)
    assert client.get(PROJECTS, headers=bearer(secret)).status_code == 200
    PersonalAccessToken.objects.filter(pk=token.pk).update(**end)
    assert told(client, secret) == told(client, secret[:-1] + "x") == told(client, "")


def told(client, secret):
    answer = client.get(PROJECTS, headers=bearer(secret))
    return answer.status_code, answer.json()["detail"], answer.headers["WWW-Authenticate"]


def leave(user):
    user.memberships.all().delete()


@pytest.mark.parametrize("is_bound", [True, False])
def test_the_token_of_who_was_removed_is_dead(client, lab, developer, is_bound):
    _, secret = token_of(developer, tenant=lab if is_bound else None)
    leave(developer)
    assert told(client, secret) == told(client, "")


def test_the_token_of_who_was_deactivated_is_dead(client, developer):
    _, secret = token_of(developer)
    User.objects.filter(pk=developer.pk).update(is_active=False)
    assert told(client, secret) == told(client, "")


def test_a_bound_token_is_dead_when_its_owner_leaves_that_tenant_alone(client, lab, developer, elsewhere):
    _, secret = token_of(developer, tenant=lab)
    developer.memberships.filter(tenant=lab).delete()
    assert told(client, secret) == told(client, "")


def test_a_token_does_no_more_than_its_owner_at_that_moment(client, lab, developer):
    key = ApiKeyFactory(tenant=lab)
    _, secret = token_of(developer)
    add_member(lab, developer, "viewer", by=None)
    path = f"/api/v1/keys/{key.pk}/revoke/"
    answer = client.post(path, {}, content_type="application/json", headers=bearer(secret))
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")


def test_its_last_use_is_noted(client, developer):
    token, secret = token_of(developer)
    client.get(PROJECTS, headers=bearer(secret))
    token.refresh_from_db()
    assert now() - token.last_used_at < timedelta(minutes=1)


# The tenant that a token is bound to


def test_a_bound_token_opens_its_tenant_alone(client, lab, developer, project, elsewhere):
    _, bound = token_of(developer, tenant=lab)
    _, free = token_of(developer)

    def seen(path, field, secret):
        return {row[field] for row in client.get(path, headers=bearer(secret)).json()["results"]}

    assert seen(PROJECTS, "slug", bound) == {project.slug}
    assert seen("/api/v1/tenants/", "slug", bound) == {"lab"}
    assert seen(TOKENS, "tenant", bound) == {"lab"}
    assert seen(PROJECTS, "slug", free) == {project.slug, "second-project"}
    assert client.get("/api/v1/tenants/second/", headers=bearer(bound)).status_code == 404
    assert client.get("/api/v1/audit/?tenant=second", headers=bearer(bound)).status_code == 403


def test_a_bound_token_holds_no_permission_elsewhere(lab, developer, elsewhere):
    token, _ = token_of(developer, tenant=lab)
    assert developer.has_perm("tenants.manage_members", elsewhere)
    effective_user = PersonalAccessToken.objects.get(pk=token.pk).effective_user()
    assert not effective_user.has_perm("tenants.manage_members", elsewhere)
    assert not effective_user.has_perm("tenants.manage_members", ProjectFactory(tenant=elsewhere))
    assert effective_user.get_all_permissions(elsewhere) == set()
    assert effective_user.has_perm("tenants.claim_key", lab)


def test_a_token_is_bound_to_a_tenant_of_its_owner(developer, stranger):
    with pytest.raises(ValidationError, match="one of your tenants"):
        token_of(developer, tenant=stranger.memberships.get().tenant)


# Scopes


def unsafe_routes():
    """(method, path below /api/v1/, scope) of every route of the API that tokens may be for."""
    found = []
    for route in all_routes():
        if not route.is_api or route.view is None:
            continue
        given = getattr(route.callback, "initkwargs", {})
        view = type("View", (route.view,), given)
        path = re.sub(r"%\(\w+\)s", "{id}", route.path).removeprefix("api/v1/")
        actions = getattr(route.callback, "actions", None)
        methods = actions or [name for name in route.view.http_method_names if hasattr(route.view, name)]
        found += [
            (method.upper(), path, needed_scope(view, method), view)
            for method in methods
            if method not in ("head", "options")
        ]
    return found


def test_every_route_says_what_a_token_needs_and_the_docs_say_the_same():
    rows = re.findall(r"^\| `(\w+)` \| (.*`.*) \|$", Path("docs/tokens.md").read_text(), re.MULTILINE)
    documented = {
        (*action.split(" "), scope)
        for scope, actions in rows
        for action in re.findall(r"`([A-Z]+ [^`]+)`", actions)
    }
    routes = {(method, path, scope) for method, path, scope, _ in unsafe_routes()}
    assert not [route for route in routes if route[2] is None], "Say token_scope in these views"
    assert {route for route in routes if (route[0], route[2]) != ("GET", "read")} == documented


def test_no_route_forgets_to_ask_for_the_scope():
    open_to_all = {"schema/", "docs/"}
    for method, path, _, view in unsafe_routes():
        asked = {getattr(one, "__name__", "") for one in view.permission_classes}
        assert path in open_to_all or "TokenHasScope" in asked, f"{method} {path}"


def test_a_route_that_says_nothing_is_closed_to_tokens():
    assert needed_scope(type("View", (), {}), "post") is None
    assert needed_scope(type("View", (), {}), "get") == TokenScope.READ


@pytest.mark.parametrize("scope", [scope for scope in TokenScope if scope != TokenScope.KEYS])
def test_a_token_without_the_scope_is_told_which_one(client, lab, developer, operator, scope):
    key = ApiKeyFactory.claimable(tenant=lab)
    _, secret = token_of(operator if scope == TokenScope.PLATFORM else developer, scope)
    answer = client.post(f"/api/v1/keys/{key.pk}/claim/", headers=bearer(secret))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert answer["WWW-Authenticate"] == (
        'Bearer realm="quartermaster", error="insufficient_scope", scope="keys"'
    )
    key.refresh_from_db()
    assert key.state == "claimable"


def test_the_scope_is_asked_before_anything_is_looked_for(client, developer):
    """Otherwise a token could find out by 403 and 404 which rows there are."""
    _, secret = token_of(developer, TokenScope.READ)
    answer = client.post(f"/api/v1/keys/{UserFactory().pk}/claim/", headers=bearer(secret))
    assert answer.status_code == 403


def test_with_the_scope_it_works(client, lab, developer):
    key = ApiKeyFactory.claimable(tenant=lab)
    _, secret = token_of(developer, TokenScope.KEYS)
    path = f"/api/v1/keys/{key.pk}/claim/"
    claimed = client.post(path, {}, content_type="application/json", headers=bearer(secret))
    assert claimed.status_code == 200
    assert client.get(f"/api/v1/keys/{key.pk}/", headers=bearer(secret)).status_code == 403


def test_a_token_without_platform_is_nobody_on_the_staff(client, operator, lab):
    project = ProjectFactory(tenant=lab)
    _, plain = token_of(operator, TokenScope.READ)
    _, staff = token_of(operator, TokenScope.READ, TokenScope.PLATFORM)
    path = f"{PROJECTS}{project.pk}/"
    assert client.get(path, headers=bearer(plain)).status_code == 404
    assert client.get("/api/v1/deployments/", headers=bearer(plain)).status_code == 403
    assert client.get(path, headers=bearer(staff)).status_code == 200
    assert client.get("/api/v1/deployments/", headers=bearer(staff)).status_code == 200


def test_only_staff_get_the_scope_platform(developer, operator, lab):
    with pytest.raises(ValidationError, match="Only staff"):
        token_of(developer, TokenScope.PLATFORM)
    assert TokenScope.PLATFORM not in token_of(developer)[0].scopes
    assert TokenScope.PLATFORM in token_of(operator)[0].scopes


@pytest.mark.parametrize("scopes", [[], ["everything"]])
def test_scopes_are_some_of_those_that_there_are(developer, scopes):
    with pytest.raises(ValidationError):
        issue_personal_access_token(developer, name="t", life=DAY, scopes=scopes)


@pytest.mark.parametrize("life", [YEAR + timedelta(seconds=1), timedelta(0), -DAY])
def test_a_token_lives_some_time_and_at_most_a_year(developer, life):
    token_of(developer, life=YEAR)
    with pytest.raises(ValidationError, match="at most a year"):
        token_of(developer, life=life)


def test_a_suspended_tenant_gets_no_new_tokens(lab, developer):
    Tenant.objects.filter(pk=lab.pk).update(status="suspended", suspended_at=now(), suspended_reason="late")
    with pytest.raises(Conflict, match="suspended"):
        token_of(developer, tenant=lab)


def test_nobody_gets_more_tokens_than_anybody_needs(developer, monkeypatch):
    monkeypatch.setattr("tenants.actions.tokens.MOST_TOKENS", 1)
    token_of(developer)
    with pytest.raises(Conflict, match="First revoke those that nobody uses"):
        token_of(developer)


# The API


def wanted(**changed):
    return {"name": "job", "scopes": ["read"], "expires_at": (now() + DAY).isoformat()} | changed


def make(client, body, secret=None):
    headers = bearer(secret) if secret else {}
    return client.post(TOKENS, body, content_type="application/json", headers=headers)


def test_a_token_is_made_over_http_and_shown_once(client, lab, developer):
    client.force_login(developer)
    answer = make(client, wanted(tenant="lab"))
    made = answer.json()
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    assert (made["tenant"], made["scopes"], made["state"]) == ("lab", ["read"], "active")
    assert "secret" not in client.get(f"{TOKENS}{made['id']}/").json()
    assert client.get(PROJECTS, headers=bearer(made["secret"])).status_code == 200


def test_a_token_for_all_ones_tenants_is_made_and_written_down(client, developer):
    client.force_login(developer)
    made = make(client, wanted()).json()
    assert made["tenant"] is None
    line = AuditEntry.objects.across_tenants().get(verb="personal_access_token.issued")
    assert (line.tenant, line.actor, line.subject_id) == (None, developer, made["id"])


def test_a_token_is_no_way_to_a_better_token(client, lab, developer, elsewhere):
    parent, secret = token_of(developer, "read", "manage", tenant=lab)
    for better in (
        {"scopes": ["read", "keys"], "tenant": "lab"},
        {"tenant": None},
        {"tenant": "lab", "expires_at": (now() + 2 * DAY).isoformat()},
    ):
        assert make(client, wanted(**better), secret).status_code in (400, 403), better
    elsewhere_too = make(client, wanted(tenant="second"), secret)
    assert elsewhere_too.status_code == 400
    shorter = {"tenant": "lab", "expires_at": (parent.expires_at - timedelta(hours=1)).isoformat()}
    assert make(client, wanted(**shorter), secret).status_code == 201
    assert PersonalAccessToken.objects.count() == 2


def test_without_manage_a_token_makes_none(client, developer):
    _, secret = token_of(developer, "read", "keys")
    assert make(client, wanted(), secret).json()["code"] == "insufficient_scope"


def test_a_token_can_end_itself(client, developer):
    token, secret = token_of(developer, "manage")
    path = f"{TOKENS}{token.pk}/revoke/"
    assert client.post(path, {}, "application/json", headers=bearer(secret)).json()["state"] == "revoked"
    assert client.post(path, headers=bearer(secret)).status_code == 401
    client.force_login(developer)
    assert client.post(path).json()["code"] == "already_revoked"


def test_an_owner_sees_and_revokes_what_leads_into_their_tenant(client, lab, owner, developer, elsewhere):
    bound, _ = token_of(developer, tenant=lab)
    free, _ = token_of(developer)
    other, _ = token_of(developer, tenant=elsewhere)
    client.force_login(owner)
    assert {row["id"] for row in client.get(TOKENS).json()["results"]} == {str(bound.pk)}
    assert client.post(f"{TOKENS}{bound.pk}/revoke/", {}, "application/json").status_code == 200
    for hidden in (free, other):
        assert client.post(f"{TOKENS}{hidden.pk}/revoke/").status_code == 404


def test_a_developer_does_not_see_the_tokens_of_colleagues(client, lab, owner, developer):
    theirs, _ = token_of(owner, tenant=lab)
    client.force_login(developer)
    assert client.get(TOKENS).json()["results"] == []
    assert client.post(f"{TOKENS}{theirs.pk}/revoke/").status_code == 404


# Service accounts


def listed(robot):
    """The id by which the API knows a service account."""
    return str(robot.memberships.get().pk)


def test_an_owner_makes_tokens_for_a_service_account_of_their_tenant(client, lab, owner, robot, project):
    client.force_login(owner)
    (account,) = client.get("/api/v1/service-accounts/").json()["results"]
    made = make(client, wanted(service_account=account["id"])).json()
    assert (made["owner"], made["tenant"]) == (robot.email, "lab")
    seen = client.get(PROJECTS, headers=bearer(made["secret"])).json()["results"]
    assert [row["slug"] for row in seen] == [project.slug]


def test_nobody_else_makes_tokens_for_it(client, lab, developer, stranger, robot):
    with pytest.raises(PermissionDenied):
        token_of(robot, by=developer)
    client.force_login(stranger)
    assert make(client, wanted(service_account=listed(robot))).status_code == 404
    client.force_login(developer)
    assert make(client, wanted(service_account=listed(robot))).status_code == 403


def test_nobody_makes_tokens_for_a_person(client, owner, developer):
    client.force_login(owner)
    assert make(client, wanted(service_account=listed(developer))).status_code == 404
    with pytest.raises(PermissionDenied, match="People can create tokens only for themselves"):
        token_of(developer, by=owner)
