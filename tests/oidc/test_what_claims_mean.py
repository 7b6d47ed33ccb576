"""What a provider's claims say, and what they do not: nothing odd in them ever gives more than nothing would."""

from __future__ import annotations

import pytest

from directory.models import FederatedIdentity
from directory.oidc.claims import read_person
from directory.oidc.scopes import MEMBERS_SCOPES, scopes_of

WHO = {"iss": "https://issuer.example", "sub": "1"}
GRAPH = {"src1": {"endpoint": "https://graph.example"}}


def person(id_token=None, userinfo=None):
    return read_person(WHO | (id_token or {}), userinfo or {})


@pytest.mark.parametrize(
    ("claims", "groups"),
    [
        pytest.param({"_claim_names": {"groups": "src1"}, "_claim_sources": GRAPH}, None, id="code flow"),
        pytest.param({"hasgroups": True}, None, id="hasgroups"),
        pytest.param({"hasgroups": "true"}, None, id="hasgroups as text"),
        pytest.param({"hasgroups": 1}, None, id="hasgroups as a number"),
        pytest.param({"hasgroups": True, "groups": ["a"]}, None, id="a list that is not all"),
        pytest.param({"groups:src1": GRAPH["src1"]}, None, id="the source in the claim's name"),
        pytest.param({"groups": "src1", "_claim_sources": GRAPH}, None, id="the source's name for a group"),
        pytest.param({"_claim_sources": GRAPH}, None, id="sources of we know not what"),
        pytest.param({"_claim_names": ["groups"]}, None, id="names in a list"),
        pytest.param({"_claim_names": "groups"}, None, id="names in a text"),
        pytest.param({"groups": 5}, None, id="a number"),
        pytest.param({"groups": {"value": "a"}}, None, id="an object"),
        pytest.param({"groups": True}, None, id="a truth"),
        pytest.param({}, (), id="no claim at all"),
        pytest.param({"groups": None}, (), id="null"),
        pytest.param({"groups": []}, (), id="none"),
        pytest.param({"groups": ""}, (), id="an empty text"),
        pytest.param({"hasgroups": False}, (), id="has none"),
        pytest.param({"hasgroups": "false"}, (), id="has none, as text"),
        pytest.param({"_claim_names": {}}, (), id="nothing is elsewhere"),
        pytest.param({"_claim_names": {"roles": "src1"}, "_claim_sources": GRAPH}, (), id="roles are elsewhere"),
        pytest.param({"groups": "a"}, ("a",), id="one, as text"),
        pytest.param({"groups": ["b", 5, None, ["c"], {"d": 1}, "a", "b"]}, ("a", "b"), id="others among them"),
        pytest.param(
            {"groups": ["a", "a\u200b", "a\n", " a", "\u202ea", "", "g" * 201, "\ud800"]}, ("a",), id="unseen"
        ),
    ],
)  # fmt: skip
def test_groups_are_listed_or_to_be_asked_for(claims, groups):
    assert person(claims).groups == groups
    assert person(userinfo=claims).groups == groups


def test_a_list_in_one_document_answers_what_the_other_leaves_open():
    assert person({"hasgroups": True}, {"groups": ["a"]}).groups == ("a",)
    assert person({"groups": ["a"]}, {"hasgroups": True}).groups == ("a",)
    assert person({"hasgroups": True}, {"groups": []}).groups is None


def test_another_claim_of_groups_has_its_own_marks(settings):
    settings.OIDC_GROUPS_CLAIM = "roles"
    assert person({"_claim_names": {"roles": "src1"}, "_claim_sources": GRAPH}).groups is None
    assert person({"hasgroups": True}).groups == ()


@pytest.mark.django_db
@pytest.mark.parametrize("claims", [{"hasgroups": True}, {"_claim_names": {"groups": "src1"}}, {"groups": 5}])
def test_known_groups_stay_while_the_provider_does_not_list_them(client, liar, come_back, claims):
    liar.answers["/me"] |= {"groups": ["lab-admins"]}
    come_back()
    del liar.answers["/me"]["groups"]
    client.logout()
    assert come_back(**claims).status_code == 302
    assert FederatedIdentity.objects.get().groups == ["lab-admins"]
    client.logout()
    come_back()
    assert FederatedIdentity.objects.get().groups == []


@pytest.mark.parametrize(
    ("id_token", "userinfo", "address", "is_verified"),
    [
        ({"email": "a@x.org", "email_verified": True}, {}, "a@x.org", True),
        ({}, {"email": "a@x.org", "email_verified": True}, "a@x.org", True),
        ({"email": "a@x.org"}, {"email_verified": True}, "a@x.org", False),
        ({"email_verified": True}, {"email": "a@x.org"}, "a@x.org", False),
        ({"email": "a@x.org"}, {"email": "b@x.org", "email_verified": True}, "a@x.org", False),
        ({"email": "a@x.org"}, {"email": "A@x.org", "email_verified": True}, "a@x.org", True),
        (
            {"email": "a@x.org", "email_verified": False},
            {"email": "a@x.org", "email_verified": True},
            "a@x.org",
            False,
        ),
        (
            {"email": "a@x.org", "email_verified": True},
            {"email": "b@x.org", "email_verified": False},
            "a@x.org",
            True,
        ),
        ({"email": None, "email_verified": True}, {"email": "a@x.org", "email_verified": True}, "", False),
        ({"email": ["a@x.org"], "email_verified": True}, {}, "", False),
        ({"email": 5, "email_verified": True}, {}, "", False),
        ({"email_verified": True}, {}, "", False),
    ],
)
def test_an_address_and_its_being_verified_come_from_one_document(id_token, userinfo, address, is_verified):
    read = person(id_token, userinfo)
    assert (read.email, read.is_email_verified) == (address, is_verified)


@pytest.mark.parametrize("yes", [True, "true"])
def test_an_address_is_verified_by_saying_so(yes):
    assert person({"email": "a@x.org", "email_verified": yes}).is_email_verified is True


@pytest.mark.parametrize(
    "no", [False, "false", None, 1, 1.0, "1", "True", "yes", "", [True], {"value": True}]
)
def test_and_by_nothing_else(no):
    assert person({"email": "a@x.org", "email_verified": no}).is_email_verified is False


@pytest.mark.parametrize("claim", ["scope", "scp", "scopes", "permissions", "Scope", "SCP"])
@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ("read", {"read"}),
        ("openid read keys", {"read", "keys"}),
        (["openid", "read"], {"read"}),
        ("openid profile", set()),
        ("access_as_user", set()),
        ("READ", set()),
        ("read,keys", set()),
        ("read\tkeys", set()),
        ("re\u200bad", set()),
        ("", set()),
        (" ", set()),
        ([], set()),
        (["openid"], set()),
        (["read keys"], set()),
        (["read", 5], set()),
        (["read", None], set()),
        ([["read"]], set()),
        (None, set()),
        (5, set()),
        (True, set()),
        ({"read": True}, set()),
        ({"scope": "read"}, set()),
    ],
)  # fmt: skip
def test_a_scope_claim_gives_what_it_names_and_nothing_else(claim, said, scopes):
    assert scopes_of(WHO | {claim: said}) == scopes


def test_a_token_without_any_scope_claim_has_a_members_scopes():
    assert scopes_of(WHO) == MEMBERS_SCOPES == {"read", "requests", "keys", "costs", "manage"}


@pytest.mark.parametrize(
    "rights",
    [
        {"authorization_details": [{"type": "payment_initiation"}]},
        {"authorization": {"permissions": [{"rsname": "letters", "scopes": ["view"]}]}},
        {"Authorization_Details": []},
    ],
)
def test_a_token_of_rights_in_another_form_has_only_the_scopes_that_it_names(rights):
    assert scopes_of(WHO | rights) == frozenset()
    assert scopes_of(WHO | rights | {"scope": "openid read"}) == {"read"}


def test_two_scope_claims_give_what_both_name():
    assert scopes_of(WHO | {"scope": "read keys", "scp": ["read", "costs"]}) == {"read"}
    assert scopes_of(WHO | {"scope": "openid", "scp": "read"}) == frozenset()


@pytest.mark.parametrize("level", [["gold"], {"gold": 1}, 5, None, "silver"])
def test_only_a_text_names_a_level_of_authentication(settings, level):
    settings.OIDC_SECOND_FACTOR_ACR = frozenset({"gold"})
    assert person({"acr": level}).has_second_factor is False
    assert person({"acr": "gold"}).has_second_factor is True


@pytest.mark.parametrize("methods", ["mfa", {"mfa": 1}, [["mfa"]], [5], None])
def test_only_a_list_names_methods_of_authentication(methods):
    assert person({"amr": methods}).has_second_factor is False


def test_a_name_is_cleaned_and_locks_nobody_out():
    assert person({"name": " Ana\n\u202eAdler\0\ud800 "}).name == "Ana Adler"
    assert person({"name": "\u200b"}, {"name": "Ana"}).name == "Ana"
    assert person({"name": ["Ana"]}, {"name": 5}).name == ""
    assert len(person({"name": "a" * 500}).name) == 150
