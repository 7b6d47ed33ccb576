"""Whether a backend refuses our own account: its credentials, payment, permission or quota.

Providers say so with a status, a code or a sentence, and many with 400, which is otherwise the caller's fault.
"""

import re

from gateway.proxy.backend_errors import LARGEST_ERROR, BackendError

# With these statuses the caller did nothing wrong: our route, address or credentials are at fault.
_STATUSES = {401: "credentials", 402: "payment", 403: "permission"}
_CODE_NAMES = {
    "quota": """
        insufficient_quota quota_exceeded quota_exhausted exceeded_current_quota exceeded_current_quota_error
        account_quota_exceeded allocation_quota allocation_quota_free_tier_only insufficient_user_quota
        insufficient_account_quota token_quota_exceeded resource_pack_exhausted resource_package_exhausted
        pre_consume_token_quota_failed
    """,
    "payment": """
        insufficient_balance insufficient_credit insufficient_credits insufficient_funds credit_balance_too_low
        credits_exhausted credit_limit_exceeded no_credits out_of_credits billing billing_error billing_disabled
        billing_hard_limit_reached billing_not_active billing_not_enabled payment_required arrearage overdue
        account_overdue account_overdue_error account_in_arrears overdue_payment spend_limit_exceeded
        spending_limit_exceeded spend_limit_reached budget_exceeded exceeded_budget monthly_limit_exceeded
        invalid_payment_instrument pre_paid_bill_overdue post_paid_bill_overdue 402 1113
    """,
    "permission": """
        account_deactivated account_suspended account_disabled account_terminated account_blocked account_locked
        account_not_active access_terminated organization_deactivated organization_restricted
        organization_suspended organization_disabled blocked_api_access project_archived project_suspended
        consumer_suspended consumer_invalid service_disabled permission_denied permission_error
        permission_denied_error access_denied access_denied_error access_denied_exception forbidden
        api_key_service_blocked api_key_ip_address_blocked api_key_http_referrer_blocked model_access_denied
        key_model_access_denied key_blocked ip_not_allowed ip_not_authorized location_not_supported
        unsupported_country_region_territory not_purchased model_not_purchased access_denied_unpurchased 403
    """,
    "credentials": """
        invalid_api_key incorrect_api_key api_key_invalid api_key_expired api_key_not_found api_key_disabled
        api_key_revoked api_key_error missing_api_key no_api_key invalid_authentication
        invalid_authentication_error authentication_error authentication_failed auth_error auth_failure
        auth_failed unauthorized unauthorized_error unauthenticated expired_token token_expired
        expired_token_exception expired_key invalid_auth invalid_access_token invalid_access_key_id
        invalid_client_token_id invalid_credentials missing_credentials credentials_missing
        invalid_subscription_key unrecognized_client_exception missing_authentication_token
        missing_authentication_token_exception signature_does_not_match invalid_signature
        invalid_signature_exception incomplete_signature access_token_type_unsupported access_token_expired
        access_token_scope_insufficient no_db_connection 401
    """,
}
_CODES = {
    re.sub(r"[^a-z0-9]", "", code): reason for reason, codes in _CODE_NAMES.items() for code in codes.split()
}
# Prefixes of codes.
_FAMILIES = (("authfailure", "credentials"), ("accessdenied", "permission"))

_BE = r"(?:is|are|was|were|has been|have been|had been)"
_OFF = (
    r"(?:deactivated|suspended|disabled|terminated|restricted|blocked|banned|locked|frozen|archived|overdue|inactive"
    r"|not active|in arrears)"
)
_HOLDER = r"\b(?:account|organi[sz]ation|project|workspace|team|subscription|consumer)"
_KEY = r"(?:x-)?(?:api|access|secret|subscription|account|auth)[ _-]?keys?(?: ids?)?\b"
_WRONG = (
    r"(?:not valid|invalid|incorrect|expired|revoked|disabled|deactivated|blocked|missing|wrong|leaked"
    r"|reported as)"
)
# How providers phrase it, in one sentence. Phrases for an ordinary limit per minute are not included.
_SAID = {
    "quota": (
        r"insufficient (?:\w+ )?quota",
        r"exceeded your (?:current |monthly |daily |account )?quota",
        r"quota (?:has been |is )?(?:exhausted|used up)",
        r"free (?:tier|trial|quota|usage)\b.{0,60} (?:exhausted|expired|used up|ended)",
        r"(?:额度|配额|资源包)已?(?:用尽|不足|耗尽|用完)",
    ),
    "payment": (
        r"insufficient (?:\w+ )?(?:credits?|balance|funds)",
        r"(?:credit |account |paid )?balance (?:is |was )?(?:too low|insufficient|not enough|exhausted|negative)",
        r"(?:check|update) your (?:plan|billing)",
        r"billing (?:details|hard limit|account|is disabled|(?:is )?not (?:active|enabled)|to be enabled)",
        r"(?:enable|set up|activate) billing|payment required|failure to pay|in arrears|good standing|arrearage",
        r"out of credits|no (?:more )?credits (?:left|remaining)|included credits",
        r"(?:purchase|buy|add) (?:more |additional )?(?:api )?credits?\b",
        r"credits? (?:have been |has been |are |is |were )?(?:exhausted|depleted|used up|expired)",
        r"(?:used|spent) all (?:\w+ )?(?:available )?credits",
        r"(?:spend|spending|billing|credit|monthly usage) (?:hard |soft )?(?:caps?|limits?)",
        r"budget has been exceeded|over (?:its|your) budget|exceeded ?budget|past[ -]due",
        r"overdue (?:account|payment|invoice|balance)|(?:account|payment|invoice)s? (?:is |are )?overdue",
        r"(?:no|invalid|missing|valid|failed|declined|expired) payment (?:method|instrument)",
        r"(?:please|to) (?:top[ -]?up|recharge)|(?:top[ -]?up|recharge) your",
        r"欠费|余额已?(?:不足|耗尽)|充值|未付|账单",
    ),
    "permission": (
        rf"{_HOLDER}\b(?: [\w.:@/-]{{1,80}})? {_BE} (?:currently |temporarily |permanently )?{_OFF}",
        rf"account {_OFF}|(?:api access|access) (?:is |was |has been )?(?:blocked|disabled|suspended|terminated)",
        r"(?:organi[sz]ation|account|business|identity) must be verified|verify (?:your )?(?:organi[sz]ation|identity)",
        r"(?:location|country|region|territory) is not supported|not supported for the api use",
        r"has not been used in project",
        rf"(?:you|key|role|{_HOLDER}) (?:do|does) not have (?:\w+ )?(?:access|permission)",
        r"you (?:don't have|are not granted|have not been granted) (?:\w+ )?(?:access|permission)",
        r"not authorized to (?:perform|access|invoke|use|call)|access (?:is )?denied|permission denied",
        r"not subscribed|marketplace subscription|use case details have not",
        r"(?:账户|帐户|账号|帐号)已?被?(?:冻结|停用|禁用|封禁|锁定|异常)|没有权限|无权限|无权访问|未开通",
    ),
    "credentials": (
        rf"(?:incorrect|invalid|expired|revoked|missing|wrong|unknown|no|disabled) {_KEY}",
        rf"{_KEY}(?: [\w.*…-]{{4,80}})?(?: provided| given)? (?:{_BE} )?{_WRONG}",
        rf"{_KEY}(?: [\w.*…-]{{4,80}})? (?:does not exist|(?:{_BE} )?not found)",
        rf"(?:pass|provide|use|carry|check|renew|verify) (?:a |an |your |the )?(?:valid |new |correct |api )?{_KEY}",
        rf"didn't provide an? {_KEY}",
        r"(?:invalid|expired|incorrect|missing|revoked) (?:access|bearer|auth\w*|security|client|api)[ _-]tokens?",
        r"(?:access|bearer|security|api|auth)[ _-]token\b.{0,60} ?(?:invalid|expired|revoked)",
        r"auth(?:entication|ori[sz]ation) (?:has )?(?:failed|failure|error|fails|required)|login fail",
        r"(?:invalid|missing|bad|no) (?:authentication|authorization|credentials?)",
        r"credentials? (?:are |is |were |have )?(?:invalid|expired|missing|not (?:found|valid|configured))",
        r"(?:find|load|locate|refresh) (?:\w+ )?credentials|\bunauthori[sz]ed\b|\bunauthenticated\b",
        r"身份验证(?:失败|不通过)|无效的(?:令牌|密钥|api ?key)",
        r"(?:令牌|密钥|api ?key|鉴权)\S{0,6}(?:过期|失效|无效|错误|失败|不正确)",
    ),
}
_WORDS = re.compile(
    "|".join(f"(?P<{reason}>{'|'.join(said)})" for reason, said in _SAID.items()), re.IGNORECASE
)
_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'(?!\w)|\"[^\"\n]*\"|`[^`\n]*`|“[^”\n]*”|‘[^’\n]*’")
# What may precede the first words of a sentence: a number, the name of an exception, a form of address.
_BEFORE = re.compile(
    r"\s*(?:(?:error code|[\w.]*(?:error|exception)|\[?\d{3,5}\]?)[ :,\][-]*){0,5}"
    r"(?:sorry,? |please,? )?(?:your |you |you have |you've |this |the |an? )?",
    re.IGNORECASE,
)
# Parameters that no caller sends.
_OF_AN_ACCOUNT = re.compile(
    r"(?:api|access|x)[_-].*key|authori[sz]ation|authentication|credentials?|account|billing|organi[sz]ation",
    re.IGNORECASE,
)


def account_trouble(status: int, error: BackendError) -> str | None:
    """Why a backend refuses our own account: credentials, payment, permission or quota; else None.

    The caller is not at fault: the gateway answers 502 or 503 and raises an alarm. `status` is the
    HTTP status, which may be 200 or 400 if only the body reports the error.
    """
    if status in _STATUSES:
        return _STATUSES[status]
    for word in (error.code, error.kind, *error.reasons):
        folded = re.sub(r"[^a-z0-9]", "", (word or "").lower())
        if folded in _CODES:
            return _CODES[folded]
        for family, reason in _FAMILIES:
            if folded.startswith(family):
                return reason
    message = error.message[:LARGEST_ERROR]
    # Quoted text comes from the caller.
    if 400 <= status < 500 and status != 429:
        message = _QUOTED.sub(" ", message)
        # If the error names a parameter, all but the first words may come from the caller too.
        if error.param and not _OF_AN_ACCOUNT.fullmatch(error.param):
            before = _BEFORE.match(message)
            found = _WORDS.match(message, before.end() if before else 0)
            return found.lastgroup if found is not None else None
    found = _WORDS.search(message)
    return found.lastgroup if found is not None else None
