"""Things people do with tenants, members, keys and tokens."""

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
from tenants.actions.second_factor import (
    confirm_with_code,
    enrol_authenticator,
    renew_recovery_codes,
    reset_second_factor,
    turn_off_second_factor,
)
from tenants.actions.service_accounts import (
    create_service_account,
    delete_service_account,
    disable_service_account,
    enable_service_account,
)
from tenants.actions.sessions import end_session, sign_out_everywhere
from tenants.actions.sign_in import (
    change_password,
    create_administrator,
    read_administrator_link,
    unlock_sign_in,
    use_administrator_link,
)
from tenants.actions.staff import end_staff_role, make_staff
from tenants.actions.suspending import resume_tenant, suspend_tenant
from tenants.actions.tenancy import change_tenant, create_tenant
from tenants.actions.tokens import issue_personal_access_token, revoke_personal_access_token
from tenants.role_groups import role_group

__all__ = [
    "accept_as_newcomer",
    "accept_invitation",
    "add_member",
    "change_password",
    "change_project",
    "change_role",
    "change_tenant",
    "claim_api_key",
    "confirm_with_code",
    "create_administrator",
    "create_project",
    "create_service_account",
    "create_tenant",
    "delete_service_account",
    "disable_service_account",
    "enable_service_account",
    "end_emergency_access",
    "end_session",
    "end_staff_role",
    "enrol_authenticator",
    "find_invitation",
    "invite",
    "issue_personal_access_token",
    "make_staff",
    "open_emergency_access",
    "prepare_api_key",
    "read_administrator_link",
    "remove_member",
    "renew_recovery_codes",
    "resend_invitation",
    "reset_second_factor",
    "resume_tenant",
    "review_emergency_access",
    "revoke_api_key",
    "revoke_personal_access_token",
    "role_group",
    "set_limits",
    "set_project_role",
    "sign_out_everywhere",
    "suspend_tenant",
    "turn_off_second_factor",
    "unlock_sign_in",
    "use_administrator_link",
    "withdraw_invitation",
]
