"""Alive means the process answers; ready means database, broker and schema are as this code needs them."""

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

pytestmark = pytest.mark.django_db


def test_a_console_with_everything_it_needs_is_ready(client):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": {"database": "ok", "migrations": "ok", "row_level_security": "ok", "broker": "ok"},
    }


@pytest.mark.as_owner
def test_a_console_on_an_old_schema_refuses_readiness(client):
    newest = max(name for app, name in MigrationLoader(connection).graph.leaf_nodes() if app == "catalog")
    MigrationRecorder(connection).record_unapplied("catalog", newest)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert f"catalog.{newest}" in answer.json()["checks"]["migrations"]
    assert "manage.py migrate" in answer.json()["checks"]["migrations"]


@pytest.mark.as_owner
def test_a_console_that_sees_past_the_walls_is_not_ready(client):
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "docs/isolation.md" in answer.json()["checks"]["row_level_security"]


def test_a_console_without_its_broker_is_not_ready_but_alive(client, settings):
    # Nothing listens on port 1.
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["broker"].startswith("check_broker failed")
    assert answer.json()["checks"]["database"] == "ok"
    assert client.get("/healthz").json() == {"status": "alive"}


def test_requests_are_counted_under_their_route(client):
    client.get("/healthz")
    text = client.get("/metrics").content.decode()
    assert 'console_requests_total{method="GET",route="healthz",status="200"}' in text
    assert 'console_request_seconds_bucket{le="0.1",method="GET",route="healthz"}' in text
