"""Recognizes refusals because of a quota: by an API server, by a controller of it, or by an admission webhook."""

import re

# Not a name such as quota-class.
_WORD = r"\b\w*quotas?(?![-.\w])"
_WITHIN = r"""[^.,;:"\n]{0,40}?"""  # the same clause
_QUOTA = re.compile(
    rf"\b(?:exceed(?:s|ed|ing)?|insufficient|exhausted|surpass(?:es|ed)?|not enough|reached)\b{_WITHIN}{_WORD}"
    rf"|\b(?:over|out of|failed)(?: (?:the|its|your|their))? {_WORD}"
    rf"|{_WORD}(?:\s+[\"'][^\"'\n]{{1,253}}[\"'])?{_WITHIN}"
    r"\b(?:exceeded|exhausted|insufficient|reached|used up|surpassed)\b"
    r"|\b(?:quotaexceeded|exceededquota)\b",
    re.IGNORECASE,
)
_READ = 20_000  # characters of a message
_ASKS_FOR_AMOUNTS = re.compile(r"\bfailed quota\b.*\bmust specify\b", re.IGNORECASE | re.DOTALL)


def is_of_quota(message: str) -> bool:
    """Whether the message of a refusal gives a quota as the reason."""
    return _QUOTA.search(message[:_READ]) is not None


def way_out(message: str, *, ask_for: str) -> str:
    """The sentence that says what to do about such a message. `ask_for` is what to request instead."""
    if _ASKS_FOR_AMOUNTS.search(message):
        return (
            "The quota requires amounts that some of our pods do not state, so waiting does not help: "
            "give the namespace a LimitRange with default amounts, or remove them from its ResourceQuota"
        )
    return f"Raise the namespace's quota, or request {ask_for}"
