"""Things people do with tenants, members, keys and tokens."""

from tenants.actions.invitations import (
    accept_as_newcomer,
    accept_invitation,
    find_invitation,
    invite,
    resend_invitation,
    withdraw_invitation,
)
from tenants.actions.keys import claim_api_key, prepare_api_key, revoke_api_key
from tenants.actions.limits import set_limits
from tenants.actions.members import add_member, change_role, remove_member, role_group
from tenants.actions.service_accounts import (
    create_service_account,
    delete_service_account,
    disable_service_account,
    enable_service_account,
)
from tenants.actions.staff import make_staff
from tenants.actions.tenancy import create_project, create_tenant
from tenants.actions.tokens import issue_personal_access_token

__all__ = [
    "accept_as_newcomer",
    "accept_invitation",
    "add_member",
    "change_role",
    "claim_api_key",
    "create_project",
    "create_service_account",
    "create_tenant",
    "delete_service_account",
    "disable_service_account",
    "enable_service_account",
    "find_invitation",
    "invite",
    "issue_personal_access_token",
    "make_staff",
    "prepare_api_key",
    "remove_member",
    "resend_invitation",
    "revoke_api_key",
    "role_group",
    "set_limits",
    "withdraw_invitation",
]
