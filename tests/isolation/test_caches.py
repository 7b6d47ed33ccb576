"""No answer about a tenant is kept where another could get it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from tests.isolation.sweep import ACCOUNT, ADMIN, API, PORTAL, address

pytestmark = pytest.mark.django_db
CACHING = re.compile(
    r"django\.core\.cache|cache_page|cached\.Loader|\{% cache |lru_cache|functools import cache\b"
)
# Where something is remembered between requests, and why no tenant's data is in it.
REMEMBERS = {
    "billing/demo_rule.py": "a pure function of numbers",
    "billing/ingest_sql.py": "statements by the number of kinds in a batch",
    "deployments/clusters.py": "connections to clusters, which are the platform's",
    "deployments/client_fields.py": "names of fields, and whether a rule takes them for state",
    "deployments/engine_controls.py": "names of fields, folded for comparing",
    "deployments/engine/words.py": "the demo engine's vocabulary",
    "core/menu.py": "the entries of menus, from source files",
    "core/palette.py": "which finders there are, from source files",
    "core/local_days.py": "when days begin in a time zone, whoever is there",
    "core/rate_limits.py": "how often an address or id tried, under a digest; and how limits are written",
    "gateway/proxy": "the gateway process: it answers keys, not people",
}


def test_the_console_remembers_nothing_of_tenants_between_requests():
    sources = [path for app in (*settings.OUR_APPS, "config") for path in Path(app).rglob("*.py")]
    sources += [*Path("templates").rglob("*.html"), *Path("billing/templates").rglob("*.html")]
    found = {str(path) for path in sources if CACHING.search(path.read_text())}
    unexplained = {path for path in found if not path.startswith(tuple(REMEMBERS))}
    assert not unexplained, "Say in REMEMBERS why what is remembered there is nobody's in particular"


def test_django_keeps_no_pages_and_no_compiled_answers():
    assert not [name for name in settings.MIDDLEWARE if "Cache" in name]


def test_every_answer_to_a_person_is_theirs_alone(client, full_lab, owner, operator):
    for person, routes in ((owner, [*PORTAL, *API, *ACCOUNT]), (operator, ADMIN)):
        client.force_login(person)
        for route in routes:
            answer = client.get(address(route, full_lab))
            if answer.status_code == 405:
                continue
            kept = answer.headers.get("Cache-Control", "")
            assert "private" in kept or "no-store" in kept, f"{route}: {kept!r}"
            assert "public" not in kept, route
            assert "Cookie" in answer.headers.get("Vary", "") or route.is_api, route
