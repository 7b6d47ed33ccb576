"""The portal's menu: what a role can never open is not offered to it."""

import pytest

from tests.factories import member_of, staff


@pytest.mark.parametrize(
    ("role", "sees_exports"), [("developer", False), ("viewer", False), ("finance", True)]
)
def test_exports_are_offered_to_those_who_may_export(client, lab, role, sees_exports):
    client.force_login(member_of(lab, role))
    page = client.get("/t/lab/cost/").content.decode()
    assert ("/t/lab/exports/" in page) is sees_exports
    assert client.get("/t/lab/exports/").status_code == (200 if sees_exports else 403)


def test_a_controller_is_offered_the_costs_of_every_tenant(client, lab, controller):
    client.force_login(controller)
    page = client.get("/t/lab/cost/").content.decode()
    assert "/t/lab/exports/" in page


def test_a_reviewer_is_not_offered_costs(client, lab):
    client.force_login(staff("security-reviewer"))
    page = client.get("/t/lab/").content.decode()
    assert "/t/lab/cost/" not in page
