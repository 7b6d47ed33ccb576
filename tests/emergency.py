"""Emergency access as its tests open it: through the admin, in a browser with a second factor."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from accounts.models import StaffRoleAssignment
from tenants.models import EmergencyAccess, Tenant

REASON = "Their only owner is away and a key leaked."


def browser_of(person, *, has_second_factor=True):
    browser = Client()
    browser.force_login(person)
    session = browser.session
    session["qm_has_second_factor"] = has_second_factor
    session.save()
    return browser


def open_in(browser, tenant, **said):
    sent = {"reason": REASON, "minutes": "60", "step": "confirm"} | said
    return browser.post(f"/admin/tenants/tenant/{tenant.pk}/emergency-access/", sent)


def the_access(tenant):
    return EmergencyAccess.objects.in_tenant(tenant).with_status().get()


def make_older(access, by):
    """As if it had been opened earlier, by somebody who was an operator then."""
    StaffRoleAssignment.objects.filter(user=access.opened_by).update(created_at=now() - timedelta(days=1))
    access = EmergencyAccess.objects.in_tenant(access.tenant).get(pk=access.pk)
    EmergencyAccess.objects.in_tenant(access.tenant).filter(pk=access.pk).update(
        opened_at=access.opened_at - by, expires_at=access.expires_at - by
    )


def close(tenant):
    """Closed, as if two people had done it with an export in hand; for the owner of the tables."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tenants_tenant DISABLE TRIGGER USER")
        Tenant.objects.filter(pk=tenant.pk).update(status="closed")
        cursor.execute("ALTER TABLE tenants_tenant ENABLE TRIGGER USER")


def may_claim(browser, key, **headers):
    """Whether the browser gets the page on which an owner would claim the key."""
    page = browser.get(reverse("key-claim", args=[key.tenant.slug, key.pk]), **headers)
    assert page.status_code in (200, 302, 403)
    return page.status_code == 200
