"""Actions on tenants, members, keys and tokens."""

from tenants.actions.emergency import (
    end_emergency_access,
    open_emergency_access,
    review_emergency_access,
)
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
from tenants.actions.members import add_member, change_role, remove_member
from tenants.actions.project_roles import set_project_role
from tenants.actions.projects import change_project, create_project
from tenants.actions.service_accounts import (
    create_service_account,
    delete_service_account,
    disable_service_account,
    enable_service_account,
)
from tenants.actions.suspending import resume_tenant, suspend_tenant
from tenants.actions.tenancy import change_tenant, create_tenant
from tenants.actions.tokens import issue_personal_access_token, revoke_personal_access_token
from tenants.actions.webhooks import (
    add_webhook,
    change_webhook,
    delete_webhook,
    disable_webhook,
    enable_webhook,
    rotate_webhook_secret,
    send_delivery_again,
    try_webhook,
)

__all__ = [
    "accept_as_newcomer",
    "accept_invitation",
    "add_member",
    "add_webhook",
    "change_project",
    "change_role",
    "change_tenant",
    "change_webhook",
    "claim_api_key",
    "create_project",
    "create_service_account",
    "create_tenant",
    "delete_service_account",
    "delete_webhook",
    "disable_service_account",
    "disable_webhook",
    "enable_service_account",
    "enable_webhook",
    "end_emergency_access",
    "find_invitation",
    "invite",
    "issue_personal_access_token",
    "open_emergency_access",
    "prepare_api_key",
    "remove_member",
    "resend_invitation",
    "resume_tenant",
    "review_emergency_access",
    "revoke_api_key",
    "revoke_personal_access_token",
    "rotate_webhook_secret",
    "send_delivery_again",
    "set_limits",
    "set_project_role",
    "suspend_tenant",
    "try_webhook",
    "withdraw_invitation",
]
