"""Operators' pages of gateways and revisions: counters in words, links from one to the other, and who follows."""

import re

import pytest
from django.urls import reverse
from django.utils.timezone import now

from deployments.provider_actions import disable_provider
from gateway.actions import set_media_hosts
from gateway.counters import counter_in_words
from gateway.models import Gateway, RefusedCalls
from tenants.actions import revoke_api_key
from tenants.models import ConfigChange
from tests.factories import ApiKeyFactory, ProjectFactory, ProviderFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(client, operator):
    client.force_login(operator)
    return client


@pytest.fixture
def change(operator):
    set_media_hosts(["a.example.com"], by=operator)
    return ConfigChange.objects.latest("revision")


def gateway_at(revision, **report):
    return Gateway.objects.create(
        name=f"gw-{revision}", prefix="qmg_", digest=str(revision), acknowledged_revision=revision,
        last_seen_at=now(), report=report,
    )  # fmt: skip


def page(desk, name, *args):
    return desk.get(reverse(f"admin:{name}", args=args)).content.decode()


def test_counters_have_words():
    assert counter_in_words("backends_ejected") == "Targets that get no calls now, because they failed"
    assert counter_in_words("refused of aurora-bank") == "Refused, of tenant aurora-bank"
    assert counter_in_words("refused rate_limit_exceeded") == "Refused, rate_limit_exceeded"
    assert counter_in_words("of a later release") == "of a later release"


def test_the_page_of_a_gateway_leads_to_its_revision_and_its_refused_calls(desk, change):
    gateway = gateway_at(change.revision, counters={"requests": 12_345})
    text = page(desk, "gateway_gateway_change", gateway.pk)
    assert reverse("admin:tenants_configchange_change", args=[change.revision]) in text
    assert f"{reverse('admin:gateway_refusedcalls_changelist')}?q={gateway.name}" in text
    assert "Calls: 12,345" in text
    assert "nothing: it keeps every promise" in text


def test_the_page_of_a_gateway_says_where_it_counts(desk):
    first, second = gateway_at(1, counts_in="a"), gateway_at(2, counts_in="a")
    assert "in a Redis, with 1 other gateway" in page(desk, "gateway_gateway_change", first.pk)
    alone = gateway_at(3)
    assert "by itself, in its memory (no GATEWAY_REDIS_URL)" in page(desk, "gateway_gateway_change", alone.pk)
    Gateway.objects.filter(pk=second.pk).update(report={"counts_in": "b"})
    assert "in a Redis, with 0 other gateways" in page(desk, "gateway_gateway_change", first.pk)


def test_the_page_of_a_revision_says_which_gateways_follow_it(desk, change):
    assert "no gateway is alive" in page(desk, "tenants_configchange_change", change.revision)
    follows = gateway_at(change.revision)
    gateway_at(change.revision - 1)
    gateway_at(change.revision - 2, refused={"revision": change.revision, "reason": "its signature is wrong"})
    text = page(desk, "tenants_configchange_change", change.revision)
    assert reverse("admin:gateway_gateway_change", args=[follows.pk]) in text
    for words in (
        "yes", f"not yet, it follows {change.revision - 1}", "no, it refused it: its signature is wrong",
        "Gateway media hosts set",
    ):  # fmt: skip
        assert words in text
    assert "gateway.media_hosts_set" not in text


def test_the_list_of_revisions_names_what_was_changed(desk, operator):
    provider = ProviderFactory(title="Lighthouse Europe")
    disable_provider(provider.pk, by=operator)
    assert "Provider disabled · Lighthouse Europe" in page(desk, "tenants_configchange_changelist")


def test_a_revision_without_an_inverse_has_no_undo_button(desk, change, operator):
    undo = "/undo/"
    assert undo in page(desk, "tenants_configchange_change", change.revision)
    revoke_api_key(ApiKeyFactory().pk, by=operator, reason="leaked")
    final = ConfigChange.objects.latest("revision")
    text = page(desk, "tenants_configchange_change", final.revision)
    assert "A revoked key never works again." in text
    assert undo not in text


def test_a_refused_call_leads_to_what_its_limit_is_set_on(desk):
    project = ProjectFactory(name="R<b>&D")
    key = ApiKeyFactory(tenant=project.tenant, project=project)
    row = RefusedCalls.objects.across_tenants().create(
        tenant=project.tenant, project_id=project.pk, key_id=key.pk, gateway_name="gw", minute=now(),
        model="aurora", status=429, code="rate_limit_exceeded", count=1, limit_scope="project",
        limit_scope_id=project.pk, limit_kind="requests_per_minute", limit_value=3, limit_model="a<b>",
    )  # fmt: skip
    text = page(desk, "gateway_refusedcalls_change", row.pk)
    url = reverse("admin:tenants_project_change", args=[project.pk])
    assert re.search(rf'<a [^>]*href="{url}"[^>]*>R&lt;b&gt;&amp;D</a>, a&lt;b&gt;', text)
    assert "&lt;a" not in text
