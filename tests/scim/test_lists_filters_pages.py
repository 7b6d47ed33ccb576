"""Lists: filtered in the database, in pages that neither lose nor repeat anybody."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from scim2_models import ScimFilter

from accounts.models import User
from directory.scim import payloads
from directory.scim.mapping import user_payload
from directory.scope import people
from tests.scim.conftest import LIST

SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


@pytest.fixture
def listed_people(directory):
    """A few people who differ in everything that can be asked for."""
    directory.person("ada@example.com", displayName="Ada", externalId="E1", name={"familyName": "Byron"})
    directory.person("bob@example.com", name={"givenName": "Bob", "familyName": "byron-Gordon"}, active=False)
    directory.person("cleo@other.example", externalId="e1", emails=[{"value": "Cleo@Post.example"}])
    directory.person("100%_@example.com", displayName="100% \\ _")
    # Never spoken of by the directory.
    User.objects.create_user("dora@example.com", name="Dora")
    directory.group("Engineers", User.objects.get(email="ada@example.com"), User.objects.get(name="Dora"))
    return {user.email: user for user in User.objects.all()}


FILTERS = [
    'userName eq "ADA@example.com"',
    'userName ne "ada@example.com"',
    'userName co "EXAMPLE"',
    'userName co "%"',
    'userName co "_@"',
    'userName sw "B"',
    'userName ew ".example"',
    "userName pr",
    "displayName pr",
    "not (displayName pr)",
    "externalId pr",
    'externalId eq "e1"',
    'externalId eq "E1"',
    'externalId ne "E1"',
    "externalId eq null",
    'displayName eq "ada"',
    'displayName co "\\\\"',
    'displayName sw "100%"',
    'name.familyName sw "BYRON"',
    "name.familyName pr",
    "not (name.familyName pr)",
    'name.givenName eq "bob"',
    'not (name.givenName eq "bob")',
    'name.formatted co "dora"',
    "active eq true",
    "active eq false",
    'active eq "True"',
    "not (active eq true)",
    'emails eq "cleo@post.example"',
    'emails.value co "post"',
    'emails.type eq "work"',
    'emails.type eq "home"',
    "emails.primary eq true",
    'emails[type eq "work" and value ew "example.com"]',
    'emails[type eq "home"]',
    'emails[type eq "work"] and active eq false',
    "emails pr",
    "groups pr",
    "not (groups pr)",
    'groups[display eq "engineers"]',
    'meta.created gt "2001-01-01T00:00:00Z"',
    'meta.created lt "2001-01-01T00:00:00Z"',
    'meta.lastModified ge "2001-01-01T00:00:00+01:00"',
    'meta.resourceType eq "User"',
    'userName eq "ada@example.com" or userName eq "bob@example.com" and active eq true',
    '(userName eq "ada@example.com" or userName eq "bob@example.com") and active eq false',
    'urn:ietf:params:scim:schemas:core:2.0:User:userName eq "ada@example.com"',
    'USERNAME EQ "ada@example.com"',
]


def test_the_database_finds_whom_the_rfc_says(directory, listed_people):
    """The library's own reading of each filter, over every person, is the measure."""
    rows = people().select_related("directory_entry").prefetch_related("directory_groups")
    everybody = [user_payload(user) for user in rows]
    assert len(everybody) == 5
    for text in FILTERS:
        measure = ScimFilter[payloads.User](text)
        answer = directory.list("Users", filter=text, count=200)
        assert answer.status_code == 200, (text, answer.content)
        found = {user["id"] for user in answer.json()["Resources"]}
        assert found == {user.id for user in everybody if measure.match(user)}, text
        assert answer.json()["totalResults"] == len(found), text


def test_the_filters_of_this_test_tell_people_apart(directory, listed_people):
    """Were every filter to find everybody or nobody, the test above would prove little."""
    sizes = [directory.list("Users", filter=text).json()["totalResults"] for text in FILTERS]
    assert sum(0 < size < 5 for size in sizes) > len(sizes) / 2


NO_FILTERS = [
    "",
    "userName",
    "userName eq",
    "userName eq ada",
    'userName xx "a"',
    '"a" eq userName',
    'userName eq "a" and',
    '(userName eq "a"',
    'userName eq "a"; DROP TABLE accounts_user',
    'password eq "x"',
    'password sw "pbkdf2"',
    "is_superuser eq true",
    'email eq "a"',
    'user__password sw "a"',
    'directory_entry.given_name eq "a"',
    'title eq "x"',
    'groups.display eq "x"',
    'userName gt "a"',
    "active gt true",
    'active co "t"',
    'id co "0"',
    'meta.version eq "x"',
    'meta.location co "x"',
    'schemas eq "urn:x"',
    'meta.created gt "yesterday"',
    "userName eq 5",
    'userName[value eq "x"]',
]


def test_what_cannot_be_asked_is_an_invalid_filter(directory, listed_people):
    for text in NO_FILTERS:
        answer = directory.list("Users", filter=text)
        assert answer.status_code == 400, (text, answer.content)
        assert answer.json()["scimType"] == "invalidFilter", (text, answer.content)


def test_a_deep_filter_is_read_and_a_long_one_is_not(directory, listed_people):
    deep = "(" * 900 + "userName pr" + ")" * 900
    assert directory.list("Users", filter=deep).status_code == 200
    for text in ("(" * 50_000 + "userName pr" + ")" * 50_000, 'userName eq "' + "x" * 2000 + '"'):
        answer = directory.post("Users/.search", {"schemas": [SEARCH], "filter": text})
        assert answer.status_code == 400
        assert answer.json()["scimType"] == "invalidFilter"


VALUES = [
    "' OR '1'='1",
    "'; DELETE FROM accounts_user; --",
    "%",
    "\\\\",
    "%s",
    "{0}",
    "\\u0000",
    "\\ud800",
    "a\\u0000b",
]


def test_a_value_in_a_filter_stays_a_value(directory, listed_people):
    for attribute in ("userName", "externalId", "displayName", "name.familyName", "id", "emails"):
        for value in VALUES:
            answer = directory.list("Users", filter=f'{attribute} eq "{value}"')
            assert answer.status_code == 200, (attribute, value, answer.content)
            assert answer.json()["totalResults"] == 0, (attribute, value)
    assert User.objects.count() == len(listed_people)


def test_two_hundred_and_fifty_people_come_in_pages(directory):
    everybody = User.objects.bulk_create(
        [User(email=f"p{n:03}@example.com", password="!") for n in range(250)]
    )
    seen = []
    for start in (1, 101, 201):
        page = directory.list("Users", startIndex=start, count=100).json()
        assert page["totalResults"] == 250
        assert page["startIndex"] == start
        assert page["itemsPerPage"] == len(page["Resources"]) == (50 if start == 201 else 100)
        seen += [found["id"] for found in page["Resources"]]
    assert seen == [str(user.pk) for user in sorted(everybody, key=lambda user: user.pk)]


def test_the_edges_of_pages(directory):
    User.objects.bulk_create([User(email=f"p{n:03}@example.com", password="!") for n in range(250)])

    def page(**asked):
        answer = directory.list("Users", **asked).json()
        assert answer["totalResults"] == 250
        return answer["startIndex"], answer["itemsPerPage"], len(answer["Resources"])

    assert page() == (1, 100, 100)
    assert page(count=1000) == (1, 200, 200), "the longest page that is declared"
    assert page(count=0) == (1, 0, 0)
    assert page(count=-5) == (1, 0, 0)
    assert page(startIndex=-7, count=2) == (1, 2, 2)
    assert page(startIndex=250, count=2) == (250, 1, 1)
    assert page(startIndex=251, count=2) == (251, 0, 0)
    assert page(startIndex=10**17, count=2)[1:] == (0, 0)
    assert directory.list("Users", startIndex="one").status_code == 400
    assert directory.list("Users", count="all").status_code == 400


@pytest.mark.parametrize(
    ("by", "order", "wanted"),
    [
        ("userName", None, ["100%_@example.com", "ada@example.com", "bob@example.com"]),
        ("userName", "descending", ["dora@example.com", "cleo@other.example", "bob@example.com"]),
        ("externalId", "ascending", None),
        ("meta.created", "descending", ["dora@example.com", "100%_@example.com", "cleo@other.example"]),
        ("emails", "ascending", None),
        ("name.familyName", "ascending", None),
    ],
)
def test_lists_are_sorted(directory, listed_people, by, order, wanted):
    asked = {"sortBy": by} | ({"sortOrder": order} if order else {})
    found = [user["userName"] for user in directory.list("Users", **asked).json()["Resources"]]
    assert len(found) == 5
    if wanted:
        assert found[:3] == wanted
    if by == "name.familyName":
        assert found[2:] == ["cleo@other.example", "100%_@example.com", "dora@example.com"], (
            "without one: last"
        )


def test_there_is_no_order_by_what_is_not_kept(directory, listed_people):
    for by in ("password", "groups", "name", "nothing", "meta.version", "emails[", "email"):
        assert directory.list("Users", sortBy=by).status_code == 400, by


def test_answers_hold_the_attributes_that_were_asked_for(directory, listed_people):
    pk = listed_people["ada@example.com"].pk
    only = directory.get(f"Users/{pk}?attributes=userName,name.familyName").json()
    assert set(only) == {"schemas", "id", "userName", "name"}
    assert only["name"] == {"familyName": "Byron"}
    without = directory.get(f"Users/{pk}?excludedAttributes=emails,meta").json()
    assert "emails" not in without
    assert "meta" not in without
    assert "userName" in without
    listed = directory.list("Users", attributes="displayName").json()["Resources"]
    assert all(set(user) <= {"schemas", "id", "displayName"} for user in listed)
    both = directory.get(f"Users/{pk}?attributes=userName&excludedAttributes=emails")
    assert both.status_code == 400


def test_a_search_is_posted_so_that_no_log_holds_its_filter(directory, listed_people):
    body = {
        "schemas": [SEARCH],
        "filter": 'userName sw "ada"',
        "attributes": ["userName"],
        "startIndex": 1,
        "count": 10,
    }
    found = directory.post("Users/.search", body).json()
    assert found["schemas"] == [LIST]
    assert [user["userName"] for user in found["Resources"]] == ["ada@example.com"]
    groups = directory.post("Groups/.search", {"schemas": [SEARCH], "filter": 'displayName eq "Engineers"'})
    assert groups.json()["totalResults"] == 1
    assert (
        directory.post("Users/.search", {"schemas": [SEARCH], "filter": "("}).json()["scimType"]
        == "invalidFilter"
    )
    assert directory.post(".search", body).status_code == 501


def test_lists_ask_a_constant_number_of_questions(directory, listed_people):
    for n in range(5):
        directory.group(f"Group {n}", *listed_people.values())

    def questions(path, **asked):
        with CaptureQueriesContext(connection) as captured:
            assert directory.list(path, **asked).status_code == 200
        return len(captured)

    for path, text in (
        ("Users", "userName pr and not (groups pr and active eq false)"),
        ("Groups", "members pr"),
    ):
        assert questions(path, filter=text, count=1) == questions(path, filter=text, count=100) <= 5
