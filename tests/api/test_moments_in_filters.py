"""Filters by time take every moment of ISO 8601, and refuse with 400 what no calendar has."""

from urllib.parse import quote

import pytest

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["refused-calls/?since=", "prices/?at="])
@pytest.mark.parametrize(
    ("moment", "status"),
    [
        ("2026-01-01T00:00:00Z", 200),
        ("0284-02-09T07:37:30.61+18:23", 200),
        ("2026-01-01T00:00:00-23:59", 200),
        ("9999-12-31T23:59:59Z", 200),
        ("0001-01-01T00:00:00+23:59", 400),
        ("9999-12-31T23:59:59-23:59", 400),
        ("yesterday", 400),
    ],
)
def test_a_moment_with_any_offset_is_understood_or_refused(client, owner, path, moment, status):
    client.force_login(owner)
    assert client.get(f"/api/v1/{path}{quote(moment)}").status_code == status
