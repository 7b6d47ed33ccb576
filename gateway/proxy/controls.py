"""Which fields of a client's call reach a backend.

Engine controls are refused by name unless an operator allows them for the target; what would make tenants
share state is refused or put apart by tenant; other unknown fields pass.
"""

from collections.abc import Mapping
from typing import Any

from deployments.engine_controls import can_never_be_allowed, fold, folded, is_control
from gateway.proxy.body import Body
from gateway.proxy.errors import Refusal, bad_request
from gateway.proxy.index import Route
from gateway.proxy.separation import Apart, Separation

# Clients choose these, and servers keep something under them: each tenant gets its own range of values.
NAMES_OF_USERS = ("user", "prompt_cache_key", "safety_identifier", "session_id")
_FOLDED_NAMES = frozenset(map(fold, NAMES_OF_USERS))
# What a server keeps for an account of ours, which all tenants share.
_STATE = folded(
    """previous_response_id conversation conversation_id previous_interaction_id thread_id assistant_id container
    vector_store_ids file_ids file_id cached_content context_id response_id background store"""
)
_HARMLESS_STATE = ("store", "background")  # with false or null, which ask for nothing
# Known fields of OpenAI's and harmless ones of engines, so that most calls are looked at quickly.
_PLAIN_NAMES = """
model messages input stream stream_options max_tokens max_completion_tokens temperature top_p n stop seed
presence_penalty frequency_penalty logit_bias logprobs top_logprobs response_format tools tool_choice
parallel_tool_calls functions function_call metadata reasoning_effort modalities prediction encoding_format
dimensions verbosity top_k min_p repetition_penalty
"""
_PLAIN = frozenset(_PLAIN_NAMES.split())
# Switches of chat templates that change how a model thinks, and nothing else.
_SWITCHES = """
enable_thinking thinking thinking_mode thinking_budget reasoning_effort reasoning_mode preserve_thinking clear_thinking
xml_tools keep_all_reasoning builtin_tools model_identity low_effort medium_effort
"""
_TEMPLATE_SWITCHES = frozenset(_SWITCHES.split())
_SERVICE_TIERS = (None, "auto", "default")
_INSIDE = (
    "chat_template_kwargs",
    "structured_outputs",
    "response_format",
    "stream_options",
    "provider_options",
)


def controls_in(body: Body) -> dict[str, str]:
    """The engine controls that a call holds: name as it was sent → folded name of what must be allowed.

    Raises Refusal (400) naming the field for what no target can allow.
    """
    found: dict[str, str] = {}
    for name in body.names():
        if name in _PLAIN:
            continue
        compared = fold(name)
        if can_never_be_allowed(name):
            raise refused_control(name)
        if compared in _STATE:
            if not (name in _HARMLESS_STATE and body.get(name) in (None, False)):
                raise _refused_state(name)
        elif compared == "servicetier":
            if body.get(name) not in _SERVICE_TIERS:
                raise refused_control(name)
        elif is_control(name):
            found[name] = compared
    for name in _INSIDE:
        if name == "response_format" and (
            body.size_of(name) < 40 or b"backend" not in (body.raw_of(name) or b"")
        ):
            continue
        if body.size_of(name):
            found.update(_controls_inside(name, body.get(name)))
    return found


def _controls_inside(container: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    if container == "chat_template_kwargs":
        strange = [
            name
            for name, inner in value.items()
            if name not in _TEMPLATE_SWITCHES
            or isinstance(inner, dict | list)
            or (isinstance(inner, str) and len(inner) > 200)
        ]
        return {f"{container}.{name}": fold(container) for name in strange}
    found = {}
    for name in value:
        if can_never_be_allowed(name):
            raise refused_control(f"{container}.{name}")
        # What these hold besides a schema chooses how the engine works.
        if is_control(name) and not (container == "structured_outputs" and name == "grammar"):
            found[f"{container}.{name}"] = fold(name)
    return found


def narrowed(route: Route, controls: Mapping[str, str]) -> Route:
    """The route with only those backends that take these controls.

    Raises Refusal (400) naming the first control that none of them takes beside the others.
    """
    for name, needed in controls.items():
        takers = route.only(lambda one, needed=needed: needed in one.allowed_controls)  # type: ignore[misc]
        if takers is None:
            raise refused_control(name)
        route = takers
    return route


def put_apart(body: Body, separation: Separation, tenant_id: str) -> Apart:
    """Give the names of users and caches that a client chose a range of the tenant's own.

    Raises Refusal (400) for one that is no text.
    """
    changed = []
    for name in body.names():
        if name not in NAMES_OF_USERS and fold(name) not in _FOLDED_NAMES:
            continue
        value = body.get(name)  # raises for one that is there twice, or in another case
        if value is None:
            continue
        if not isinstance(value, str):
            raise bad_request(f"`{name}` must be a text.", param=name)
        own = separation.name_of(tenant_id, name, value)
        body.replace(name, own)
        changed.append(own)
    return Apart(separation.salt_of(tenant_id), tuple(changed))


def refused_control(name: str) -> Refusal:
    """400 for a field that steers an engine."""
    return bad_request(
        f"`{name}` controls the engine and is not accepted here. Leave it out, or ask the operators to allow it "
        "for this model.",
        code="unsupported_parameter",
        param=name,
    )


def _refused_state(name: str) -> Refusal:
    return bad_request(
        f"`{name}` is not supported: nothing is stored between calls here. Leave it out and send all that the "
        "model needs with each call.",
        code="unsupported_parameter",
        param=name,
    )
