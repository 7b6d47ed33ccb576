"""What a staff role gives, it gives while its holder is staff."""

import pytest

from accounts.models import User
from tenants.actions import set_limits
from tests.factories import ProjectFactory, TenantFactory


def test_a_staff_role_answers_for_every_tenant(operator, lab):
    assert operator.has_perm("tenants.manage_limits", lab)
    assert operator.has_perm("catalog.publish_model")


def test_who_is_no_longer_staff_reviews_nothing(security_reviewer):
    assert security_reviewer.has_perm("catalog.decide_review")
    security_reviewer.is_staff = False
    security_reviewer.save()
    former = User.objects.get(pk=security_reviewer.pk)
    assert not former.has_perm("catalog.decide_review")


def test_who_is_not_active_may_nothing(operator, lab):
    operator.is_active = False
    operator.save()
    assert not User.objects.get(pk=operator.pk).has_perm("tenants.manage_limits", lab)


def test_a_members_role_holds_in_their_tenant_only(owner, lab):
    assert owner.has_perm("tenants.manage_limits", lab)
    assert not owner.has_perm("tenants.manage_limits", TenantFactory())
    assert not owner.has_perm("tenants.manage_limits")


def test_limits_are_not_set_on_a_foreign_project(lab):
    foreign = ProjectFactory(tenant=TenantFactory())
    with pytest.raises(ValueError, match="belongs to another tenant"):
        set_limits(lab, {"requests_per_minute": 3}, by=None, project=foreign)
