"""Actions of people on their own account, and of operators on the accounts of others."""

from accounts.actions.chat import add_chat_channel, remove_chat_channel, try_chat_channel
from accounts.actions.inbox import mark_all_read, mark_read
from accounts.actions.outbox import send_message_again
from accounts.actions.own_account import (
    choose_digest,
    choose_language,
    choose_notifications,
    choose_single_keys,
)
from accounts.actions.second_factor import (
    confirm_with_code,
    enrol_authenticator,
    renew_recovery_codes,
    reset_second_factor,
    turn_off_second_factor,
)
from accounts.actions.sessions import end_session, sign_out_everywhere
from accounts.actions.sign_in import (
    change_password,
    create_administrator,
    read_administrator_link,
    unlock_sign_in,
    use_administrator_link,
)
from accounts.actions.staff import end_staff_role, make_staff

__all__ = [
    "add_chat_channel",
    "change_password",
    "choose_digest",
    "choose_language",
    "choose_notifications",
    "choose_single_keys",
    "confirm_with_code",
    "create_administrator",
    "end_session",
    "end_staff_role",
    "enrol_authenticator",
    "make_staff",
    "mark_all_read",
    "mark_read",
    "read_administrator_link",
    "remove_chat_channel",
    "renew_recovery_codes",
    "reset_second_factor",
    "send_message_again",
    "sign_out_everywhere",
    "try_chat_channel",
    "turn_off_second_factor",
    "unlock_sign_in",
    "use_administrator_link",
]
