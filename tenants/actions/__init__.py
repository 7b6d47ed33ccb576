"""Things people do with tenants, members, keys and tokens."""

from tenants.actions.keys import claim_api_key, prepare_api_key, revoke_api_key
from tenants.actions.limits import set_limits
from tenants.actions.members import add_member, role_group
from tenants.actions.staff import make_staff
from tenants.actions.tenancy import create_project, create_tenant
from tenants.actions.tokens import issue_personal_access_token, revoke_personal_access_token

__all__ = [
    "add_member",
    "claim_api_key",
    "create_project",
    "create_tenant",
    "issue_personal_access_token",
    "make_staff",
    "prepare_api_key",
    "revoke_api_key",
    "revoke_personal_access_token",
    "role_group",
    "set_limits",
]
