"""Names of fields that clients and the protocol itself use in calls. Pure facts; no Django.

Collected from OpenAI's own API and from what public clients send to other engines.
"""

import re
from functools import lru_cache
from typing import Final

from deployments.engine_controls import (
    ALL_CONTROLS,
    carries_access,
    fold,
    folded,
    is_a_place,
    names_medium,
)

LONGEST_FIELD: Final = 64

# Known fields of OpenAI and harmless fields of engines, so that most calls are checked quickly.
_PLAIN_NAMES: Final = """
model messages input stream stream_options max_tokens max_completion_tokens temperature top_p n stop seed
presence_penalty frequency_penalty logit_bias logprobs top_logprobs response_format tools tool_choice
parallel_tool_calls functions function_call metadata reasoning_effort modalities prediction encoding_format
dimensions verbosity top_k min_p repetition_penalty
"""
PLAIN: Final = frozenset(_PLAIN_NAMES.split())

# Clients choose the values, and servers keep data under them, so each tenant gets its own range of values. The same
# applies to other names of sessions and users (`is_name_of_user`).
NAMES_OF_USERS: Final = ("user", "prompt_cache_key", "safety_identifier", "session_id")

# State that a server keeps for our account, which all tenants share.
STATE: Final = folded(
    """previous_response_id conversation conversation_id previous_interaction_id thread_id assistant_id container
    vector_store_ids file_ids file_id cached_content context_id response_id background store
    thread assistant agent_id stored resume resume_from checkpoint vector_store vector_stores tool_resources
    """
)

# Objects that are searched for controls, too.
CONTAINERS: Final = folded(
    "chat_template_kwargs structured_outputs response_format stream_options provider_options data_sources metadata"
)

_OTHERS: Final = """
audio prompt suffix instructions reasoning text thinking truncation include max_tool_calls web_search_options
service_tier prompt_cache_retention prompt_cache_options cache_control search_parameters documents json_schema
guided_json guided_choice enable_thinking include_reasoning do_sample sampling typical_p top_a tfs bad_words
stop_sequences stop_words length_penalty early_stopping repeat_penalty repeat_last_n penalty_alpha no_repeat_ngram_size
allowed_token_ids skip_special_tokens spaces_between_special_tokens include_stop_str_in_output details format
input_type task query texts pooling normalize embedding_types role content name type id object created choices usage
data error index delta message finish_reason tool_calls tool_call_id refusal random_seed safe_prompt prompt_mode
safety_settings system contents generation_config response_schema response_mime_type
"""

CLIENT_FIELDS: Final = folded(" ".join((_PLAIN_NAMES, *NAMES_OF_USERS, _OTHERS))) | STATE | CONTAINERS
# Controls with which one engine or another separates its cache.
_SEPARATORS: Final = folded(
    "cache_salt extra_key cache_key cache_namespace tenant tenant_id tenant_key namespace organization_id org_id "
    "workspace_id account_id project_id"
)
_KNOWN: Final = ALL_CONTROLS | folded(f"{_PLAIN_NAMES} {_OTHERS}")
_FIELD = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{LONGEST_FIELD - 1}}}")
# In folded form: what a server made for an earlier call, by an id or a key of it.
_OF_STATE: Final = re.compile(
    r".*(?:conversation|thread|assistant|agent|memory|response|interaction|completion|checkpoint|history|context|"
    r"(?<!e)state|(?<!pro)file|vectorstore|knowledgebase|collection|container|batch)(?:ids?|uuids?|keys?)"
    r"|(?:previous|prior|parent).*(?:ids?|uuids?|keys?)"
)
# In folded form: what clients call their sessions and users.
_OF_USERS: Final = re.compile(
    r".*session.*|.*(?:chat|dialogue|dialog)(?:ids?|uuids?|keys?)|.*affinity(?:id|key)?|sticky(?:id|key)?"
    r"|(?:end)?user(?:id|uuid|key)|enduser|customer(?:id|uuid|key)?"
)
_FOLDED_USERS: Final = frozenset(map(fold, NAMES_OF_USERS))
_OTHER_PURPOSES: Final = ("lora", "bypass", "litellm")


def is_of_state(name: str) -> bool:
    """Whether a field of this name refers to what a server keeps between calls, for all callers."""
    return _is_of_state(fold(name))


def is_name_of_user(name: str) -> bool:
    """Whether clients use this field to name a user, a session or a cache of theirs."""
    return _is_name_of_user(fold(name))


@lru_cache(maxsize=4096)
def _is_of_state(compared: str) -> bool:
    if compared in STATE:
        return True
    return (
        compared not in _KNOWN
        and not _is_name_of_user(compared)
        and _OF_STATE.fullmatch(compared) is not None
    )


@lru_cache(maxsize=4096)
def _is_name_of_user(compared: str) -> bool:
    if compared in _FOLDED_USERS:
        return True
    return compared not in _KNOWN and compared not in STATE and _OF_USERS.fullmatch(compared) is not None


def is_field_name(name: str) -> bool:
    """Whether a separating field may have this name at all: ASCII letters, digits and underscores, no digit first,
    64 characters at most.
    """
    return _FIELD.fullmatch(name) is not None and fold(name) != ""


def may_separate(name: str) -> bool:
    """Whether the gateway may send its own value in a field of this name.

    Not if clients or the protocol use the field for something else, nor if engines read it as another kind of
    setting: an address, an adapter, a slot, a limit.
    """
    compared = fold(name)
    if not is_field_name(name) or compared in CLIENT_FIELDS or is_of_state(name) or is_name_of_user(name):
        return False
    if compared in _SEPARATORS:
        return True
    is_of_another_purpose = (
        compared in ALL_CONTROLS
        or compared.startswith(_OTHER_PURPOSES)
        or carries_access(name)
        or any(word in compared for word in ("adapter", "callback", "guardrail", "proxy", "proxies"))
        or names_medium(compared)
        or is_a_place(name, compared)
    )
    return not is_of_another_purpose
