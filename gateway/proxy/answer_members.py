"""The members of answers by name: which clients read, which a model wrote, which tell where an answer was made."""

import re
from functools import lru_cache

import orjson

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# The usual content of choices and data: a model's words, numbers, and names that every dialect has.
PLAIN = re.compile(
    rb'(?:[\[\]{},\s]++|(?:null|true|false|-?\d[\d.eE+-]*+)(?=[\s,\]}])|"(?:'
    rb'(?:content|reasoning_content|reasoning|thinking|refusal|arguments|text|transcript|token|embedding|b64_json|'
    rb'stop_reason|matched_stop)"\s*+:\s*+(?:' + _STRING + rb'|(?=[^\s"]))'
    rb'|(?:role|type|finish_reason)"\s*+:\s*+(?:"[a-z_]{1,30}+"|null)'
    rb'|object"\s*+:\s*+"(?:embedding|list|chat\.completion(?:\.chunk)?|text_completion)"'
    rb'|(?:function|function_call)"\s*+:\s*+\{\s*+(?:"name"\s*+:\s*+' + _STRING + rb')?'
    rb'|(?:index|delta|message|tool_calls|function_call|logprobs|logprob|top_logprobs|bytes|audio|annotations|usage|'
    rb'token_ids|name|id)"\s*+:\s*+(?=[^\s"])'
    rb'))*+',
    re.DOTALL,
)  # fmt: skip
# Usage that consists only of numbers.
NUMBERS = re.compile(
    rb'(?:[\[\]{},\s]++|(?:null|true|false|-?\d[\d.eE+-]*+)(?=[\s,\]}])|"[A-Za-z_]{1,64}+"\s*+:\s*+(?=[^\s"]))*+'
)
# Members with a model's words, or their numbers and bytes: their content is not checked.
_WORD_NAMES = """
content arguments parsed input logprobs prompt_logprobs reasoning_content reasoning thinking refusal text transcript
partial_json summary signature encrypted_content embedding b64_json tokens token token_ids bytes stop_reason
matched_stop related_questions thought_signature
"""
WORDS = frozenset(_WORD_NAMES.split())
OF_THE_WEB = frozenset(("citations", "search_results", "images", "annotations", "image_url"))
MODEL_NAMES = frozenset(("model_name", "model_id", "model_version", "modelName", "modelId", "modelVersion"))
FUNCTIONS = frozenset(("function", "function_call", "custom"))
USAGES = frozenset(("usage", "timings", "usageMetadata", "usage_metadata"))
# Words that some dialects have in usage, besides numbers.
_TIER_NAMES = """
service_tier serviceTier tier search_context_size modality trafficType currency unit type object
"""
TIERS = frozenset(_TIER_NAMES.split())
# Texts that name the kind of a part. A backend's host may have the same name as one of them.
KINDS = {
    "object": re.compile(r"chat\.completion(?:\.chunk)?|text_completion|list|embedding"),
    "role": re.compile(r"[a-z_]{1,30}"),
    "type": re.compile(r"(?:reasoning\.)?[a-z_]{1,30}"),
    "finish_reason": re.compile(r"[a-z_]{1,30}"),
    "service_tier": re.compile(r"auto|default|flex|priority|scale|standard|batch|on_demand"),
}
# Of whole answers, and of events.
OBJECTS = (b'"chat.completion"', b'"chat.completion.chunk"', b'"text_completion"', b'"list"')
# Names of members that cannot be names of hosts.
ORDINARY = re.compile(r"[a-z_]{1,64}")
TIER = re.compile(r"[A-Za-z][A-Za-z_]{0,30}")
NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?")
TALLY_NAME = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
# Kimi's ids, which it wants back as they are.
ANY_TOOL_CALL = re.compile(r"functions\.[\w-]{1,100}:\d{1,4}")
# Members that reveal where and how an answer was made. `usage`, `choices` and others that clients read pass.
_PRIVATE = re.compile(
    r"_|.*(?:host|addr|base_url|server_url|endpoint|path|node|worker|server|backend|provider|deployment|transfer_params|disagg|"
    r"bootstrap|nvext|sglext|engine|weight_version|routed|debug|verbose|generation_settings|slot|trace|"
    r"request_id|meta_info|instance|cluster|region|api_base|headers)"
)
# Members that clients of some dialect read. Others are searched for names of the backend and its places.
_KNOWN_NAMES = """
object created choices data usage service_tier citations search_results images related_questions timings x_groq
prompt_filter_results
"""
KNOWN = frozenset(_KNOWN_NAMES.split())
KEYS = {name: orjson.dumps(name) + b":" for name in (*KNOWN, "id", "model", "system_fingerprint")}
# The longest name that is remembered.
_LONGEST_KNOWN = 64
PLAIN_ID = re.compile(rb"[A-Za-z0-9_-]{1,128}")
EVENT_NAME = re.compile(rb"event: ?[a-z_.-]{1,40}\r?")


def is_private(name: str) -> bool:
    """Whether a member of this name reveals where or how an answer was made."""
    return known_private(name) if len(name) <= _LONGEST_KNOWN else _is_private(name)


def _is_private(name: str) -> bool:
    return _PRIVATE.match(name.lower()) is not None


# Backends use few names. Longer ones would fill the memory.
known_private = lru_cache(maxsize=1024)(_is_private)
