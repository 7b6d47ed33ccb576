"""Usage as backends report it, and what becomes of it."""

from gateway.proxy.delivered import Delivered
from gateway.proxy.evidence import count_tokens
from gateway.proxy.usage import read_usage
from gateway.proxy.usage_bounds import bounds_of

ANSWER = Delivered(bytes=15, pieces=1)


def bounds(estimate=12, **changes):
    fields = {
        "named_output": 0, "longest_output": None, "choices": 1, "is_embedding": False, "may_bring_more": False,
    }  # fmt: skip
    return bounds_of(estimate, estimate * 4 // 3, **{**fields, **changes})


def counted(usage, delivered=ANSWER, of=None, **options):
    reported = read_usage(usage if "usage" in usage else {"usage": usage})
    return count_tokens(reported, of or bounds(), delivered, **options)


def details(**numbers):
    return {"prompt_tokens_details": numbers}


def details_out(**numbers):
    return {"completion_tokens_details": numbers}


def openai(prompt, completion, total=None, **more):
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return usage | ({} if total is None else {"total_tokens": total}) | more
