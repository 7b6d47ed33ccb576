"""How much style and script a page loads. It only ever grew, so there is a limit."""

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.urls import reverse

from tests.factories import TenantFactory, member_of, staff

LIMIT = 150_000
LOADED = re.compile(r"""<(?:script\b[^>]*\bsrc|link\b[^>]*\bhref)="/static/([^"?]+\.(?:css|js))\"""")

pytestmark = pytest.mark.django_db


def files_of(html):
    """The stylesheets and scripts that a page names; all modules are among them (test_scripts.py)."""
    names = set(LOADED.findall(html))
    assert "qm/tokens.css" in names
    assert "qm/js/main.js" in names
    return {name: Path(finders.find(name)).read_bytes() for name in names}


@pytest.mark.parametrize("page", ["tenant-home", "model-list", "request-list", "key-list", "member-list"])
def test_a_page_of_the_portal_loads_at_most_150_kb(client, page):
    tenant = TenantFactory()
    client.force_login(member_of(tenant, "owner"))
    files = files_of(client.get(reverse(page, args=[tenant.slug])).content.decode())
    sizes = {name: len(content) for name, content in files.items()}
    assert sum(sizes.values()) <= LIMIT, sizes


@pytest.mark.parametrize("page", ["admin:index", "admin:deployments_deployment_changelist"])
def test_a_staff_page_loads_at_most_as_much(client, page):
    client.force_login(staff("operator"))
    files = files_of(client.get(reverse(page)).content.decode())
    sizes = {name: len(content) for name, content in files.items()}
    assert sum(sizes.values()) <= LIMIT, sizes


def test_a_page_asks_for_few_files(client):
    """Over HTTP/1.1 a browser asks for six at once."""
    client.force_login(staff("operator"))
    page = client.get(reverse("admin:deployments_deployment_changelist")).content.decode()
    assert len(files_of(page)) <= 16
