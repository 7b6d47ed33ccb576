"""The pages on which owners and admins look after members, and everybody sees who belongs."""

from __future__ import annotations

import re

import pytest
from django.core import mail

from accounts.models import Source, User
from accounts.outbox.sending import send_mail_due
from tenants.actions import add_member, create_service_account, invite
from tenants.models import ApiKey, Invitation, Membership, ProjectRole, Tenant
from tests.factories import ApiKeyFactory, TenantFactory, UserFactory, member_of

PASSWORD = "unguessable-otter-42"
# What differs between any two pages.
UNIQUE = re.compile(r"[0-9a-f-]{36}|nonce-\S+|csrf\S+|Token\S+.*")


def page_of(user, tenant, end=""):
    return f"/t/{tenant.slug}/members/{Membership.objects.in_tenant(tenant).get(user=user).pk}/{end}"


class TestTheList:
    def test_shows_every_member_who_belongs(self, client, lab, owner, developer, stranger):
        client.force_login(developer)
        page = client.get("/t/lab/members/").content.decode()
        assert "Olu Owner" in page
        assert "Dana Developer" in page
        assert stranger.email not in page
        assert "Invite" not in re.sub(r"<title>.*?</title>", "", page, flags=re.DOTALL)
        assert "Last sign-in" not in page

    def test_shows_invitations_to_those_who_manage_members(self, client, lab, owner, developer):
        invite(lab, "nia@example.org", "viewer", by=owner)
        for person, sees in ((owner, True), (developer, False)):
            client.force_login(person)
            assert (
                "nia@example.org" in client.get("/t/lab/members/?tab=invitations").content.decode()
            ) is sees

    def test_finds_by_name_and_address(self, client, lab, owner, developer):
        client.force_login(owner)
        page = client.get("/t/lab/members/?q=dana", headers={"HX-Request": "true"}).content.decode()
        assert "Dana Developer" in page
        assert "Olu Owner" not in page
        assert "<html" not in page
        assert "No member matches" in client.get("/t/lab/members/?q=zzz%22").content.decode()

    def test_service_accounts_stand_apart(self, client, lab, owner):
        create_service_account(lab, name="nightly", role="developer", by=owner)
        client.force_login(owner)
        assert "nightly@lab" not in client.get("/t/lab/members/").content.decode()
        assert "nightly@lab" in client.get("/t/lab/members/?tab=service-accounts").content.decode()

    def test_pages_through_many_with_a_constant_number_of_questions(
        self, client, lab, owner, django_assert_max_num_queries
    ):
        people = User.objects.bulk_create(
            User(email=f"m{n:05}@example.org", name=f"Member {n:05}") for n in range(10_000)
        )
        Membership.objects.bulk_create(Membership(tenant=lab, user=p, role="viewer") for p in people)
        client.force_login(owner)
        with django_assert_max_num_queries(20):
            page = client.get("/t/lab/members/").content.decode()
        assert page.count("Member 0") == 50
        older = re.search(r'href="(\?tab=people&amp;after=[^"]+)"', page)[1].replace("&amp;", "&")
        with django_assert_max_num_queries(20):
            page = client.get(f"/t/lab/members/{older}").content.decode()
        assert "Member 00000" not in page
        assert "Member 00060" in page


class TestARole:
    def test_that_gives_more_is_changed_at_once(self, client, lab, owner):
        viewer = member_of(lab, "viewer")
        client.force_login(owner)
        client.post(page_of(viewer, lab, "role/"), {"role": "developer"})
        assert viewer.memberships.get().role == "developer"

    @pytest.mark.parametrize("role", ["viewer", "owner"])
    def test_that_takes_something_or_makes_an_owner_wants_a_second_look(
        self, client, lab, owner, developer, role
    ):
        client.force_login(owner)
        page = client.post(page_of(developer, lab, "role/"), {"role": role})
        assert b"confirmed" in page.content
        assert developer.memberships.get().role == "developer"
        client.post(page_of(developer, lab, "role/"), {"role": role, "confirmed": "on"})
        assert developer.memberships.get().role == role

    def test_is_not_for_developers_to_change(self, client, lab, owner, developer):
        client.force_login(developer)
        assert client.post(page_of(owner, lab, "role/"), {"role": "viewer"}).status_code == 403
        assert b'name="role"' not in client.get(page_of(owner, lab)).content

    def test_above_ones_own_is_refused_before_the_second_look(self, client, lab, developer):
        client.force_login(member_of(lab, "admin"))
        assert client.post(page_of(developer, lab, "role/"), {"role": "owner"}).status_code == 403

    def test_from_a_group_mapping_says_why_it_cannot_be_changed(self, client, lab, owner):
        user = UserFactory()
        add_member(lab, user, "developer", by=None, source=Source.GROUP)
        client.force_login(owner)
        assert b"directory gives this role" in client.get(page_of(user, lab)).content
        assert (
            client.post(page_of(user, lab, "role/"), {"role": "viewer", "confirmed": "on"}).status_code == 409
        )
        assert client.get(page_of(user, lab, "remove/")).status_code == 409

    def test_of_ones_own_is_not_changed(self, client, lab, owner):
        client.force_login(owner)
        assert b"You cannot change your own role" in client.get(page_of(owner, lab)).content
        assert client.post(page_of(owner, lab, "role/"), {"role": "viewer"}).status_code == 403

    def test_that_there_is_none_of_is_refused(self, client, lab, owner, developer):
        client.force_login(owner)
        assert client.post(page_of(developer, lab, "role/"), {"role": "emperor"}).status_code == 400

    def test_in_a_project_is_given_and_taken(self, client, lab, project, owner, developer):
        client.force_login(owner)
        url = page_of(developer, lab, "project-role/")
        client.post(url, {"project": str(project.pk), "role": "viewer"})
        assert ProjectRole.objects.in_tenant(lab).get().role == "viewer"
        assert b"Letters" in client.get(page_of(developer, lab)).content
        client.post(url, {"project": str(project.pk), "role": ""})
        assert not ProjectRole.objects.in_tenant(lab).exists()


class TestRemoving:
    def test_shows_what_they_own_and_hands_it_over(self, client, lab, project, owner, developer):
        key = ApiKeyFactory(tenant=lab, project=project, owner=developer, name="letters in use")
        client.force_login(owner)
        url = page_of(developer, lab, "remove/")
        assert b"letters in use" in client.get(url).content
        refused = client.post(url, {})
        assert refused.status_code == 400
        assert b"Choose a new owner for these" in refused.content
        assert client.post(url, {"keys": "hand_over", "keys_to": "nobody@example.org"}).status_code == 400
        assert client.post(url, {"keys": "hand_over", "keys_to": owner.email.upper()}).status_code == 302
        key.refresh_from_db()
        assert key.owner == owner
        assert not developer.memberships.exists()

    def test_or_ends_it(self, client, lab, project, owner, developer):
        key = ApiKeyFactory(tenant=lab, project=project, owner=developer)
        client.force_login(owner)
        client.post(page_of(developer, lab, "remove/"), {"keys": "end"})
        key.refresh_from_db()
        assert key.state == ApiKey.State.REVOKED

    def test_whoever_is_a_member_by_a_rule_is_not_asked_to_leave(self, client, lab, developer):
        client.force_login(developer)
        leave = page_of(developer, lab, "remove/").encode()
        assert leave in client.get("/t/lab/members/").content
        Membership.objects.in_tenant(lab).filter(user=developer).update(source="group")
        assert leave not in client.get("/t/lab/members/").content

    def test_oneself_is_leaving(self, client, lab, owner, developer):
        client.force_login(developer)
        assert b"Leave Lab?" in client.get(page_of(developer, lab, "remove/")).content
        assert client.post(page_of(developer, lab, "remove/"))["Location"] == "/"
        assert client.get("/t/lab/").status_code == 404

    def test_the_last_owner_is_refused_with_the_reason(self, client, lab, owner):
        client.force_login(owner)
        answer = client.post(page_of(owner, lab, "remove/"))
        assert answer.status_code == 409
        assert b"last owner" in answer.content

    def test_is_not_for_developers(self, client, lab, owner, developer, finance):
        client.force_login(developer)
        assert client.get(page_of(finance, lab, "remove/")).status_code == 403
        assert client.post(page_of(finance, lab, "remove/")).status_code == 403


class TestInviting:
    def test_sends_a_link_that_no_page_shows(self, client, lab, owner, django_capture_on_commit_callbacks):
        client.force_login(owner)
        answer = client.post(
            "/t/lab/members/invite/", {"email": "nia@example.org", "role": "developer"}, follow=True
        )
        assert b"nia@example.org" in answer.content
        assert b"qmi_" not in answer.content
        assert Invitation.objects.in_tenant(lab).get().role == "developer"

    @pytest.mark.parametrize(("email", "status"), [("nobody", 400), ("", 400), ("x@y.invalid", 400)])
    def test_refuses_what_is_no_address(self, client, lab, owner, email, status):
        client.force_login(owner)
        answer = client.post("/t/lab/members/invite/", {"email": email, "role": "developer"})
        assert answer.status_code == status

    def test_says_that_somebody_belongs_already(self, client, lab, owner, developer):
        client.force_login(owner)
        answer = client.post("/t/lab/members/invite/", {"email": developer.email, "role": "viewer"})
        assert answer.status_code == 409
        assert b"already a member" in answer.content

    def test_answers_the_same_for_an_address_known_elsewhere(self, client, lab, owner, stranger):
        client.force_login(owner)
        answers = []
        for email in (stranger.email, "unknown@example.org"):
            answer = client.post("/t/lab/members/invite/", {"email": email, "role": "viewer"})
            answers.append((answer.status_code, answer["Location"]))
        assert answers[0] == answers[1]
        rows = client.get("/t/lab/members/?tab=invitations").content.decode()
        assert "Sam Stranger" not in rows

    def test_is_not_for_developers(self, client, lab, developer):
        client.force_login(developer)
        assert client.get("/t/lab/members/invite/").status_code == 403
        assert (
            client.post("/t/lab/members/invite/", {"email": "a@b.org", "role": "viewer"}).status_code == 403
        )

    def test_again_and_withdrawing(self, client, lab, owner):
        invitation, _ = invite(lab, "nia@example.org", "viewer", by=owner)
        client.force_login(owner)
        assert client.post(f"/t/lab/invitations/{invitation.pk}/resend/").status_code == 302
        assert b"Withdraw" in client.get(f"/t/lab/invitations/{invitation.pk}/withdraw/").content
        assert client.post(f"/t/lab/invitations/{invitation.pk}/withdraw/").status_code == 302
        assert client.post(f"/t/lab/invitations/{invitation.pk}/withdraw/").status_code == 409
        assert client.post(f"/t/lab/invitations/{invitation.pk}/resend/").status_code == 409


class TestTheLink:
    @pytest.fixture
    def link(self, lab, owner):
        invite(lab, "nia@example.org", "developer", by=owner)
        send_mail_due()
        return re.search(r"https?://[^/]+(/invitations/\S+/)", mail.outbox[-1].body)[1]

    def test_lets_somebody_new_make_an_account_and_in(self, client, lab, link):
        assert b"Your name" in client.get(link).content
        said = {"name": "Nia", "password": PASSWORD, "password_again": PASSWORD}
        assert client.post(link, said)["Location"] == "/t/lab/"
        assert client.get("/t/lab/").status_code == 200

    def test_says_what_is_wrong_with_a_password(self, client, lab, link):
        for said in (
            {"name": "Nia", "password": PASSWORD, "password_again": "else"},
            {"name": "Nia", "password": "short", "password_again": "short"},
            {"name": "", "password": PASSWORD, "password_again": PASSWORD},
        ):
            assert client.post(link, said).status_code == 400
        assert not User.objects.filter(email="nia@example.org").exists()

    def test_sends_somebody_known_to_sign_in_and_back(self, client, lab, link):
        nia = UserFactory(email="nia@example.org")
        assert f"/login/?next={link}".replace("/", "%2F")[-20:] in client.get(link).content.decode()
        client.force_login(nia)
        assert b"Accept" in client.get(link).content
        assert client.post(link)["Location"] == "/t/lab/"

    def test_tells_somebody_else_which_address_it_is_for(self, client, lab, link, stranger):
        client.force_login(stranger)
        for answer in (client.get(link), client.post(link)):
            assert b"nia@example.org" in answer.content
        assert not Membership.objects.in_tenant(lab).filter(user=stranger).exists()

    def test_that_opens_nothing_is_one_same_page(self, client, lab, owner, link):
        used, wrong = link, link[:-3] + "xx/"
        client.post(link, {"name": "Nia", "password": PASSWORD, "password_again": PASSWORD})
        client.logout()
        pages = []
        for address in (used, wrong, "/invitations/x/"):
            answer = client.get(address)
            assert answer.status_code == 404
            pages.append(UNIQUE.sub("", answer.content.decode()))
        assert pages[0] == pages[1] == pages[2]

    def test_is_kept_by_no_cache_and_told_to_no_other_page(self, client, link):
        answer = client.get(link)
        assert "no-store" in answer["Cache-Control"]
        # The link is told to nobody else.
        assert answer["Referrer-Policy"] == "same-origin"

    @pytest.mark.parametrize(
        ("setting", "value"), [("LOCAL_ACCOUNTS", False), ("OIDC_ISSUER", "https://id.example")]
    )
    def test_makes_no_account_where_a_provider_signs_people_in_or_passwords_are_off(
        self, client, lab, link, settings, setting, value
    ):
        setattr(settings, setting, value)
        assert b"Your name" not in client.get(link).content
        said = {"name": "Nia", "password": PASSWORD, "password_again": PASSWORD}
        assert client.post(link, said).status_code == 409
        assert not User.objects.filter(email="nia@example.org").exists()


class TestServiceAccounts:
    def test_are_made_disabled_enabled_and_deleted(self, client, lab, owner):
        client.force_login(owner)
        answer = client.post("/t/lab/service-accounts/new/", {"name": "nightly", "role": "developer"})
        page = answer["Location"]
        account = User.objects.get(email="nightly@lab.service.invalid")
        assert b"Olu Owner" in client.get(page).content
        assert b"Disable nightly?" in client.get(f"{page}disable/").content
        client.post(f"{page}disable/")
        assert not User.objects.get(pk=account.pk).is_active
        client.post(f"{page}enable/")
        assert User.objects.get(pk=account.pk).is_active
        assert b"Delete nightly?" in client.get(f"{page}remove/").content
        assert client.post(f"{page}remove/").status_code == 302
        assert not Membership.objects.in_tenant(lab).filter(user=account).exists()

    def test_are_not_for_developers(self, client, lab, developer):
        client.force_login(developer)
        assert client.get("/t/lab/service-accounts/new/").status_code == 403

    def test_need_a_name_of_their_own(self, client, lab, owner):
        create_service_account(lab, name="nightly", role="developer", by=owner)
        client.force_login(owner)
        answer = client.post("/t/lab/service-accounts/new/", {"name": "nightly", "role": "developer"})
        assert answer.status_code == 400
        assert b"already" in answer.content

    def test_a_person_is_not_found_among_them(self, client, lab, owner, developer):
        client.force_login(owner)
        assert client.get(page_of(developer, lab, "disable/")).status_code == 404


class TestManyTenants:
    def test_the_header_lists_twenty_with_the_current_one_and_leads_to_the_rest(self, client, lab, developer):
        Tenant.objects.filter(pk=lab.pk).update(name="Zoo")
        for n in range(25):
            add_member(TenantFactory(name=f"A {n:02}", slug=f"a-{chr(97 + n)}"), developer, "viewer", by=None)
        client.force_login(developer)
        page = client.get("/t/lab/").content.decode()
        menu = page[
            page.index("Switch tenant or project") : page.index("</details>", page.index("Switch tenant"))
        ]
        assert menu.count('href="/t/') == 20
        assert "Zoo" in menu
        assert "/tenants/" in menu
        assert client.get("/").content.decode().count('class="qm-pick"') == 20
        assert client.get("/tenants/?q=a+24").content.decode().count('class="qm-pick"') == 1
        assert "None of your tenants matches" in client.get("/tenants/?q=elsewhere").content.decode()

    def test_a_few_need_no_search(self, client, lab, developer):
        add_member(TenantFactory(name="Other"), developer, "viewer", by=None)
        client.force_login(developer)
        assert 'href="/tenants/"' not in client.get("/t/lab/").content.decode()
        assert 'type="search"' not in client.get("/").content.decode()
