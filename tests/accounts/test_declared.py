"""What an action declares is asked in one order: who may, then whether its state allows it."""

import pytest
from django.core.exceptions import PermissionDenied

from accounts.declared import action
from core.errors import Conflict
from tenants.models import Tenant
from tests.factories import TenantFactory, member_of


def _not_for_dana(by, tenant):
    if by.name == "Dana":
        raise PermissionDenied("Dana asked for this.")


def _only_active(by, tenant):
    if tenant.status != Tenant.Status.ACTIVE:
        raise Conflict("It is over.")


@action(
    Tenant,
    permission="tenants.manage_tenant",
    on=lambda tenant: tenant,
    rule=_not_for_dana,
    state=_only_active,
)
def paint(tenant, colour, *, by):
    """Give a tenant a colour."""
    paint.require(by, tenant)
    return colour


@action(Tenant, permission="tenants.manage_tenant", which=lambda by, tenant: "")
def look(tenant, *, by):
    look.require(by, tenant)


@pytest.fixture
def closed(lab):
    lab.status = Tenant.Status.CLOSED
    return lab


def test_a_declared_action_is_called_like_the_function_that_it_is(lab, owner):
    assert paint(lab, "green", by=owner) == "green"
    assert paint.__doc__ == "Give a tenant a colour."
    assert paint.subject is Tenant
    assert "paint" in repr(paint)


def test_who_may_not_hears_nothing_of_the_state(closed, lab, owner):
    with pytest.raises(PermissionDenied, match="change settings"):
        paint.require(member_of(lab, "viewer"), closed)
    owner.name = "Dana"
    with pytest.raises(PermissionDenied, match="Dana asked"):
        paint.require(owner, closed)
    owner.name = "Erin"
    with pytest.raises(Conflict, match="over"):
        paint.require(owner, closed)


def test_a_page_may_show_a_form_whose_state_is_past(closed, owner):
    paint.require_permission(owner, closed)
    assert paint.is_permitted(owner, closed)
    assert not paint.is_possible(owner, closed)


def test_the_permission_is_asked_where_it_is_declared_to_be(owner, operator, lab):
    assert paint.is_possible(owner, lab)
    assert not paint.is_possible(owner, TenantFactory())
    assert paint.is_for(operator)
    assert not paint.is_for(owner), "staff alone may everywhere"


def test_the_platform_needs_no_permission_but_the_right_state(closed, lab):
    paint.require_permission(None, closed)
    with pytest.raises(Conflict):
        paint.require(None, closed)


def test_what_is_ones_own_needs_no_permission(lab):
    look.require(member_of(lab, "viewer"), lab)


@action(
    Tenant,
    permission=("tenants.manage_tenant", "tenants.view_cost"),
    which=lambda by, tenant: "tenants.view_cost",
)
def weigh(tenant, *, by):
    weigh.require(by, tenant)


@action(Tenant, permission=None, rule=_not_for_dana)
def greet(tenant, *, by):
    greet.require(by, tenant)


def test_without_a_permission_the_rule_alone_decides(lab, stranger):
    greet(lab, by=stranger)
    stranger.name = "Dana"
    with pytest.raises(PermissionDenied, match="Dana asked"):
        greet(lab, by=stranger)


def test_an_action_of_none_or_several_permissions_has_no_single_one():
    assert paint.permission == "tenants.manage_tenant"
    for several in (weigh, greet):
        with pytest.raises(TypeError, match="no single permission"):
            _ = several.permission


@pytest.mark.parametrize("declared", [(), ("tenants.view_cost",)])
def test_a_permission_that_is_not_declared_is_no_way_in(lab, owner, declared):
    @action(Tenant, permission=declared, which=lambda by, tenant: "tenants.manage_tenant")
    def sweep(tenant, *, by):
        sweep.require(by, tenant)

    with pytest.raises(TypeError, match=r"does not declare the permission tenants\.manage_tenant"):
        sweep(lab, by=owner)


def test_an_action_without_any_permission_is_closed(lab, owner):
    @action(Tenant, permission=())
    def sweep(tenant, *, by):
        sweep.require(by, tenant)

    with pytest.raises(TypeError, match="no single permission"):
        sweep(lab, by=owner)
