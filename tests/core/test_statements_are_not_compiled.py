"""PostgreSQL compiles no statement of the console just in time: for a page that takes longer than the work."""

import pytest
from django.db import connection, transaction

from core.scope import platform_scope, tenant_scope


def is_compiled():
    with connection.cursor() as cursor:
        cursor.execute("SHOW jit")
        return cursor.fetchone() == ("on",)


@pytest.mark.django_db(transaction=True)
def test_in_no_scope(lab, developer):
    with connection.cursor() as cursor:
        cursor.execute("SET jit = on")
    with tenant_scope(lab.pk):
        assert not is_compiled()
    with platform_scope("a test"), transaction.atomic():
        assert not is_compiled()


@pytest.mark.django_db(transaction=True)
def test_nor_in_a_persons_request(developer, client):
    client.force_login(developer)
    seen = []

    def look(execute, *arguments):
        answer = execute(*arguments)
        with connection.connection.cursor() as cursor:
            seen.append((cursor.execute("SHOW jit").fetchone()[0], arguments[0][:60]))
        return answer

    with connection.cursor() as cursor:
        cursor.execute("SET jit = on")
    with connection.execute_wrapper(look):
        assert client.get("/t/lab/").status_code == 200
    assert len(seen) > 3
    assert [state for state, _statement in seen[-3:]] == ["off"] * 3
