"""Things people do with tenants, members, keys and tokens."""

from tenants.actions.keys import claim_api_key, prepare_api_key, revoke_api_key
from tenants.actions.limits import set_limits
from tenants.actions.members import add_member, role_group
from tenants.actions.second_factor import (
    confirm_with_code,
    enrol_authenticator,
    renew_recovery_codes,
    reset_second_factor,
    turn_off_second_factor,
)
from tenants.actions.sessions import end_session, sign_out_everywhere
from tenants.actions.sign_in import (
    change_password,
    create_administrator,
    read_administrator_link,
    unlock_sign_in,
    use_administrator_link,
)
from tenants.actions.staff import make_staff
from tenants.actions.tenancy import create_project, create_tenant
from tenants.actions.tokens import issue_personal_access_token

__all__ = [
    "add_member",
    "change_password",
    "claim_api_key",
    "confirm_with_code",
    "create_administrator",
    "create_project",
    "create_tenant",
    "end_session",
    "enrol_authenticator",
    "issue_personal_access_token",
    "make_staff",
    "prepare_api_key",
    "read_administrator_link",
    "renew_recovery_codes",
    "reset_second_factor",
    "revoke_api_key",
    "role_group",
    "set_limits",
    "sign_out_everywhere",
    "turn_off_second_factor",
    "unlock_sign_in",
    "use_administrator_link",
]
