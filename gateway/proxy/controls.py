"""Which fields of a client's call reach a backend.

Engine controls are refused by name unless an operator allows them for the target. Fields that would make
tenants share state are refused, or separated by tenant. Other unknown fields pass.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from deployments.client_fields import CONTAINERS, NAMES_OF_USERS, PLAIN, is_name_of_user, is_of_state
from deployments.engine_controls import can_never_be_allowed, carries_access, fold, folded, is_control
from gateway.proxy.body import Body
from gateway.proxy.body_members import MOST_KNOWN_NAMES
from gateway.proxy.errors import Refusal, bad_request
from gateway.proxy.index import Route
from gateway.proxy.separation import Apart, Separation

_LONGEST_NAME = 1024  # bytes of JSON
# Passed on to a server unchanged.
_OF_SERVERS = folded("stream_options provider_options")
# Fields that are no containers, as their names say at once.
_PLAIN_VALUES = frozenset(name for name in PLAIN if fold(name) not in CONTAINERS)
# Allowed with false or null, which request nothing.
_HARMLESS_STATE = ("store", "background")
# Switches of chat templates that change how a model thinks, and nothing else.
_SWITCHES = """
enable_thinking thinking thinking_mode thinking_budget reasoning_effort reasoning_mode preserve_thinking clear_thinking
xml_tools keep_all_reasoning builtin_tools model_identity low_effort medium_effort
"""
_TEMPLATE_SWITCHES = frozenset(_SWITCHES.split())
_SERVICE_TIERS = (None, "auto", "default")
# The other containers hold schemas, whose names are the client's own.
_DEEP = folded("stream_options provider_options data_sources")
_SCHEMAS = folded("schema json_schema")
# Names inside `metadata` that proxies act on. All other names in it are the client's own.
_IN_METADATA = folded(
    "model_info model_group deployment specific_deployment fallbacks mock_response hidden_params base_url guardrails"
)
# Signs that a response_format may contain a control, or hide one.
_MARKS = (b"backend", b'"_', b"\\u")
# Characters. Beyond this length, errors name only the enclosing path.
_LONG_PATH = 300


def controls_in(
    body: Body,
    separating_fields: frozenset[str] = frozenset(),
    own_fields: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """The engine controls in a call: folded name of the control to allow → first place, as sent.

    `separating_fields` are the gateway's own fields, as folded names: no client may send one of them. `own_fields` are
    those that the call's API has and a chat's has not; the endpoint has checked them.

    Raises Refusal (400) naming the field if no target can allow it.
    """
    found: dict[str, str] = {}
    if len(body.names()) <= MOST_KNOWN_NAMES and are_plain(tuple(body.names())):
        return found
    for name in body.names():
        if name in PLAIN or name in own_fields:
            continue
        compared = fold(name)
        if compared in separating_fields:
            raise _refused_own(name)
        if can_never_be_allowed(name):
            raise refused_control(name)
        if is_of_state(name):
            if not (name in _HARMLESS_STATE and body.simple(name) in (None, False)):
                raise _refused_state(name)
        elif compared == "servicetier":
            if body.simple(name) not in _SERVICE_TIERS:
                raise refused_control(name)
        elif is_control(name):
            found.setdefault(compared, name)
    for name in body.names():
        if name in _PLAIN_VALUES or (container := fold(name)) not in CONTAINERS:
            continue
        if container == "metadata":
            _check_metadata(name, body.get(name), separating_fields)
            continue
        if container == "responseformat" and (
            body.size_of(name) < 20 or not any(mark in (body.raw_of(name) or b"") for mark in _MARKS)
        ):
            continue
        for needed, path in _controls_inside(name, container, body.get(name), separating_fields).items():
            found.setdefault(needed, path)
    return found


@lru_cache(1024)
def are_plain(names: tuple[str, ...]) -> bool:
    """Whether all of these fields are ordinary, and none contains others: then there are no controls to look for."""
    return PLAIN.issuperset(names) and _PLAIN_VALUES.issuperset(names)


def _controls_inside(
    name: str, container: str, value: Any, separating_fields: frozenset[str]
) -> dict[str, str]:
    if container == "chattemplatekwargs":
        if value is not None and not isinstance(value, Mapping):
            return {container: name}
        for inner_name, inner in (value or {}).items():
            is_plain = not isinstance(inner, dict | list) and not (
                isinstance(inner, str) and len(inner) > 200
            )
            if inner_name not in _TEMPLATE_SWITCHES or not is_plain:
                return {container: f"{name}.{inner_name}"}
        return {}
    found: dict[str, str] = {}
    for path, inner_name in _names_inside(name, value, is_deep=container in _DEEP):
        if fold(inner_name) in separating_fields:
            raise _refused_own(path)
        if can_never_be_allowed(inner_name):
            raise refused_control(path)
        if container in _OF_SERVERS and (is_of_state(inner_name) or is_name_of_user(inner_name)):
            raise _refused_state(path)
        # Apart from schemas, these fields choose how the engine works; names that begin with `_` belong to the engine.
        if container == "datasources" and inner_name == "parameters":
            # The source is the client's choice; the addresses inside it are not.
            continue
        if is_control(inner_name) or inner_name.startswith("_"):
            found.setdefault(fold(inner_name), path)
    return found


def _check_metadata(name: str, value: Any, separating_fields: frozenset[str]) -> None:
    """Refuse names that would redirect a call (400). Clients are free to name their own data."""
    for path, inner_name in _names_inside(name, value, is_deep=True):
        compared = fold(inner_name)
        if compared in separating_fields:
            raise _refused_own(path)
        if compared in _IN_METADATA or carries_access(inner_name) or compared.startswith("litellm"):
            raise refused_control(path)


def _names_inside(name: str, value: Any, *, is_deep: bool) -> Iterator[tuple[str, str]]:
    """Path and name of each member of an object, or of objects in a list; with `is_deep`, of nested ones too."""
    waiting = [(name, value)]
    while waiting:
        path, looked_at = waiting.pop()
        if isinstance(looked_at, list):
            waiting += [
                (f"{path}[{at}]", one) for at, one in enumerate(looked_at) if isinstance(one, dict | list)
            ]
        elif isinstance(looked_at, dict):
            for inner_name, inner in looked_at.items():
                where = f"{path}.{inner_name[:60]}" if len(path) < _LONG_PATH else path
                yield where, inner_name
                if is_deep and isinstance(inner, dict | list) and fold(inner_name) not in _SCHEMAS:
                    waiting.append((where, inner))


def narrowed(route: Route, controls: Mapping[str, str]) -> Route:
    """The route with only those backends that accept these controls.

    Raises Refusal (400) naming the first control that no backend accepts together with the earlier ones.
    """
    for needed, name in controls.items():
        takers = route.only(lambda one, needed=needed: needed in one.allowed_controls)  # type: ignore[misc]
        if takers is None:
            raise refused_control(name)
        route = takers
    return route


def put_apart(body: Body, separation: Separation, tenant_id: str) -> Apart:
    """Replace the names of users and caches that a client chose by names that are unique to its tenant.

    Raises Refusal (400) for a name that is not a text, or has more than 1 KiB as sent.
    """
    changed: list[str] = []
    if len(body.names()) <= MOST_KNOWN_NAMES and PLAIN.issuperset(body.names()):
        return Apart(separation.salt_of(tenant_id))
    for name in body.names():
        if name in PLAIN or not is_name_of_user(name):
            continue
        # Raises if the field appears twice, or in another case.
        value = body.simple(name)
        if value is None:
            continue
        if type(value) is int and name not in NAMES_OF_USERS:
            value = str(value)
        if not isinstance(value, str):
            raise bad_request(f"`{name}` must be a text.", param=name)
        if body.size_of(name) > _LONGEST_NAME:
            raise bad_request(f"`{name}` must have at most {_LONGEST_NAME:,} bytes.", param=name)
        own = separation.name_of(tenant_id, name, value)
        body.replace(name, own)
        changed.append(own)
    return Apart(separation.salt_of(tenant_id), tuple(changed))


def refused_control(name: str) -> Refusal:
    """400 for a field that steers an engine."""
    return bad_request(
        f"`{name}` controls the engine and is not accepted here. Omit it, or ask the operators to allow "
        "it for this model.",
        code="unsupported_parameter",
        param=name,
    )


def _refused_own(name: str) -> Refusal:
    return bad_request(
        f"`{name}` is not accepted here, because the gateway itself sends it, to keep tenants apart. Omit it.",
        code="unsupported_parameter",
        param=name,
    )


def _refused_state(name: str) -> Refusal:
    return bad_request(
        f"`{name}` is not supported, because nothing is stored between calls here. Omit it, and send "
        "everything that the model needs with each call.",
        code="unsupported_parameter",
        param=name,
    )
