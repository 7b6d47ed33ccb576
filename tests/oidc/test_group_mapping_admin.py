"""Operators write group mappings in the admin, after they have seen who gains and loses what."""

from __future__ import annotations

import re

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse

from audit.models import AuditEntry
from core.errors import Conflict
from directory import group_mappings
from directory.actions.group_mappings import begin_group_mapping, draft_group_mapping, end_group_mapping
from directory.models import FederatedIdentity, GroupMapping
from directory.oidc import tasks
from tenants.models import Membership
from tests.concurrency import at_the_same_time
from tests.factories import TenantFactory, UserFactory, member_of, staff

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def provider_of_groups(settings):
    settings.OIDC_ISSUER = "https://id.example"


@pytest.fixture
def ana(db):
    user = UserFactory(email="ana@example.com", name="Ana")
    FederatedIdentity.objects.create(
        user=user, issuer="https://id.example", subject="ana", groups=["writers"]
    )
    return user


def seen(answer):
    return re.search(r'name="seen" value="(\w+)"', answer.content.decode())[1]


def address(action, mapping=None):
    name = f"admin:directory_groupmapping_{action}"
    return reverse(name, args=[mapping.pk]) if mapping else reverse(name)


def test_a_mapping_is_written_once_its_author_has_seen_what_it_does(client, operator, lab, ana, monkeypatch):
    applied = []
    monkeypatch.setattr(tasks.apply_group_mapping, "delay_on_commit", applied.append)
    client.force_login(operator)
    form = {"group": "writers", "tenant": lab.pk, "role": "developer"}
    assert "Preview" in client.get(address("begin")).content.decode()
    preview = client.post(address("begin"), form)
    words = preview.content.decode()
    assert preview.status_code == 200
    assert "1 gains" in words
    assert "ana@example.com" in words
    assert not GroupMapping.objects.exists()

    saved = client.post(address("begin"), form | {"seen": seen(preview)})
    assert saved.status_code == 302
    mapping = GroupMapping.objects.get()
    assert applied == [str(mapping.pk)]
    line = AuditEntry.objects.across_tenants().get(verb="group_mapping.begun")
    assert (line.actor, line.tenant, line.details["group"]) == (operator, lab, "writers")
    tasks.apply_group_mapping(applied[0])
    assert Membership.objects.in_tenant(lab).get(user=ana).role == "developer"

    end = client.get(address("end", mapping))
    assert "1 loses" in end.content.decode()
    assert client.post(address("end", mapping), {"seen": seen(end)}).status_code == 302
    tasks.apply_group_mapping(applied[1])
    assert not Membership.objects.in_tenant(lab).filter(user=ana).exists()
    assert not GroupMapping.objects.exists()


def test_what_has_changed_since_is_shown_again_and_not_done(client, operator, lab, ana):
    client.force_login(operator)
    form = {"group": "writers", "tenant": lab.pk, "role": "developer"}
    preview = client.post(address("begin"), form)
    FederatedIdentity.objects.create(
        user=UserFactory(), issuer="https://id.example", subject="ben", groups=["writers"]
    )
    answer = client.post(address("begin"), form | {"seen": seen(preview)})
    assert answer.status_code == 409
    assert "Check it again" in answer.content.decode()
    answer = client.post(address("begin"), form | {"seen": seen(preview), "role": "admin"})
    assert answer.status_code == 409
    assert not GroupMapping.objects.exists()


def test_replacing_a_mapping_ends_it_and_begins_another(client, operator, lab, ana):
    mapping = begin_group_mapping(
        draft_group_mapping(group="writers", tenant=lab, role="developer"), by=operator
    )
    tasks.apply_group_mapping(str(mapping.pk))
    client.force_login(operator)
    form = {"group": "writers", "tenant": lab.pk, "role": "viewer"}
    preview = client.post(address("replace", mapping), form)
    assert "1 loses" in preview.content.decode()
    assert client.post(address("replace", mapping), form | {"seen": seen(preview)}).status_code == 302
    for row in GroupMapping.objects.order_by("pk"):
        tasks.apply_group_mapping(str(row.pk))
    assert [str(row) for row in GroupMapping.objects.all()] == ["writers: viewer of Lab"]
    assert Membership.objects.in_tenant(lab).get(user=ana).role == "viewer"


@pytest.mark.parametrize(
    "form",
    [
        {"group": "", "tenant": "lab", "role": "viewer"},
        {"group": "writers"},
        {"group": "writers", "tenant": "lab"},
        {"group": "writers", "role": "viewer"},
        {"group": "writers", "tenant": "lab", "role": "viewer", "staff_role": "auditor"},
        {"group": "writers", "tenant": "lab", "role": "king"},
    ],
)
def test_a_mapping_gives_one_role(client, operator, lab, form):
    client.force_login(operator)
    answer = client.post(address("begin"), {**form, **({"tenant": lab.pk} if "tenant" in form else {})})
    assert answer.status_code == 422


def test_the_same_mapping_is_not_written_twice(operator, lab):
    begin_group_mapping(draft_group_mapping(group="writers", tenant=lab, role="viewer"), by=operator)
    with pytest.raises(ValidationError):
        begin_group_mapping(draft_group_mapping(group="writers", tenant=lab, role="admin"), by=operator)


@pytest.mark.django_db(transaction=True)
def test_two_who_write_the_same_mapping_at_once_get_a_conflict_not_an_error(operator, lab):
    mappings = [draft_group_mapping(group="writers", tenant=lab, role=role) for role in ("viewer", "admin")]
    outcomes = at_the_same_time(
        *(lambda mapping=mapping: begin_group_mapping(mapping, by=operator) for mapping in mappings)
    )
    assert {type(outcome) for outcome in outcomes} <= {GroupMapping, Conflict, ValidationError}
    assert GroupMapping.objects.in_force().count() == 1


def test_nobody_raises_themselves_by_a_mapping(operator, lab):
    FederatedIdentity.objects.create(
        user=operator, issuer="https://id.example", subject="otto", groups=["writers"]
    )
    with pytest.raises(PermissionDenied, match="gives you a role"):
        begin_group_mapping(draft_group_mapping(group="writers", tenant=lab, role="owner"), by=operator)
    with pytest.raises(PermissionDenied, match="gives you a role"):
        begin_group_mapping(draft_group_mapping(group="writers", staff_role="controller"), by=operator)


def test_a_mapping_raises_its_author_at_no_later_time_either(operator, lab):
    """They come into its group afterwards, by the directory or the provider; another author's mapping raises them."""
    for fields in ({"staff_role": "controller"}, {"tenant": lab, "role": "owner"}):
        begin_group_mapping(draft_group_mapping(group="writers", **fields), by=operator)
    FederatedIdentity.objects.create(
        user=operator, issuer="https://id.example", subject="o", groups=["writers", "editors"]
    )
    group_mappings.apply_group_mappings(operator, reason="a test")
    assert set(operator.staff_role_assignments.values_list("role", flat=True)) == {"operator"}
    assert not Membership.objects.in_tenant(lab).filter(user=operator).exists()

    for fields in ({"staff_role": "auditor"}, {"tenant": lab, "role": "viewer"}):
        begin_group_mapping(draft_group_mapping(group="editors", **fields), by=staff("operator"))
    group_mappings.apply_group_mappings(operator, reason="a test")
    assert set(operator.staff_role_assignments.values_list("role", flat=True)) == {"operator", "auditor"}
    assert Membership.objects.in_tenant(lab).get(user=operator).role == "viewer"


def test_a_mapping_ends_once(operator, lab):
    mapping = begin_group_mapping(
        draft_group_mapping(group="writers", tenant=lab, role="viewer"), by=operator
    )
    end_group_mapping(mapping.pk, by=operator)
    with pytest.raises(Conflict):
        end_group_mapping(mapping.pk, by=operator)


def test_nobody_gets_a_role_in_a_closed_tenant(operator):
    closed = TenantFactory(status="closed")
    with pytest.raises(Conflict, match="closed"):
        begin_group_mapping(draft_group_mapping(group="writers", tenant=closed, role="viewer"), by=operator)


@pytest.mark.parametrize("role", ["auditor", "controller", "security-reviewer"])
def test_other_staff_write_no_mappings(client, lab, role):
    person = staff(role)
    mapping = GroupMapping.objects.create(group="writers", tenant=lab, role="viewer")
    with pytest.raises(PermissionDenied):
        begin_group_mapping(draft_group_mapping(group="a", tenant=lab, role="viewer"), by=person)
    with pytest.raises(PermissionDenied):
        end_group_mapping(mapping.pk, by=person)
    client.force_login(person)
    for page in (address("begin"), address("replace", mapping), address("end", mapping)):
        assert client.get(page).status_code == 403
    assert client.get(address("changelist")).status_code == (200 if role == "auditor" else 403)


def test_an_owner_of_a_tenant_writes_none_either(lab):
    with pytest.raises(PermissionDenied):
        begin_group_mapping(
            draft_group_mapping(group="a", tenant=lab, role="viewer"), by=member_of(lab, "owner")
        )


def test_a_mapping_whose_message_was_lost_is_applied_by_the_clock(lab, ana, monkeypatch):
    mapping = GroupMapping.objects.create(group="writers", tenant=lab, role="viewer")
    sent = []
    monkeypatch.setattr(tasks.apply_group_mapping, "delay", sent.append)
    tasks.apply_forgotten_group_mappings()
    assert sent == [], "its message may still be on the way"
    GroupMapping.objects.update(created_at=mapping.created_at - 2 * tasks.FORGOTTEN_AFTER)
    tasks.apply_forgotten_group_mappings()
    assert sent == [str(mapping.pk)]
    tasks.apply_group_mapping(sent[0])
    assert Membership.objects.in_tenant(lab).get(user=ana).source == "group"


def test_the_lists_say_what_is_in_force_and_who_is_checked(client, operator, lab, ana):
    GroupMapping.objects.create(group="writers", tenant=lab, role="viewer")
    client.force_login(operator)
    mappings = client.get(address("changelist")).content.decode()
    assert "writers" in mappings
    assert "Being applied" in mappings
    people = client.get(reverse("admin:directory_federatedidentity_changelist")).content.decode()
    assert "At sign-in" in people
    page = client.get(reverse("admin:directory_federatedidentity_change", args=[ana.identities.get().pk]))
    assert "refresh" not in page.content.decode().lower().partition("<main")[2]
