"""The console's routes as LiteLLM's list of models, and which of its deployments a call may use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.proxy.index import Backend, Index
from gateway.proxy.vault import NoCredential, Vault

# LiteLLM takes a missing key from the environment: a target without one must not get somebody else's.
_NO_KEY: Final = "none"
_WEIGHT_OF_ONE: Final = 1000
_AZURE_SUFFIX: Final = "/openai"
_VERSION_SUFFIX: Final = "/v1"


def deployment_id(backend: Backend) -> str:
    """The id of an address of a target in LiteLLM: that of the target, and the address if it has several."""
    return backend.id if len(backend.config.addresses) == 1 else f"{backend.id} {backend.url}"


def target_of(deployment: str | None) -> str | None:
    """The target that a deployment of LiteLLM belongs to."""
    return deployment.partition(" ")[0] if deployment else None


def model_list(index: Index, vault: Vault) -> tuple[list[dict[str, Any]], str]:
    """All routes as LiteLLM's `model_list`, and a sentence about the targets that it cannot be given."""
    models: list[dict[str, Any]] = []
    problems: dict[str, str] = {}
    for route in index.routes.values():
        for order, group in enumerate(route.groups, 1):
            for backend in group:
                try:
                    parameters = _parameters(backend, index, vault)
                except (NoCredential, _NotForLiteLLM) as reason:
                    problems[backend.id] = f"LiteLLM is not given target {backend.id}: {reason}."
                    continue
                models.append(
                    {
                        "model_name": route.config.model,
                        "litellm_params": {
                            **parameters,
                            "order": order,
                            "weight": max(1, round(backend.share * _WEIGHT_OF_ONE)),
                        },
                        "model_info": {"id": deployment_id(backend)},
                    }
                )
    return models, " ".join(_some(problems))


def _some(problems: dict[str, str]) -> Iterator[str]:
    for number, problem in enumerate(problems.values()):
        if number == 3:
            yield f"And {len(problems) - 3} more."
            return
        yield problem


class _NotForLiteLLM(Exception):
    """LiteLLM cannot be told how to call this target. The message says why."""


def _parameters(backend: Backend, index: Index, vault: Vault) -> dict[str, Any]:
    """How LiteLLM calls one address. Raises NoCredential and _NotForLiteLLM."""
    provider, dialect = backend.config.provider, backend.dialect
    name = backend.config.upstream_model
    settings = index.settings
    if provider is None or dialect is None:
        return {
            "model": f"openai/{name}",
            "api_base": backend.url,
            "api_key": _NO_KEY,
            "timeout": settings.response_timeout_seconds,
            "max_retries": 0,
        }
    if provider.private_ca or provider.proxy_url:
        raise _NotForLiteLLM("it needs a private CA or a proxy")
    auth = vault.header(dialect, backend.id, provider.credentials)
    common: dict[str, Any] = {
        "api_key": auth[1].removeprefix(dialect.auth_prefix) if auth else _NO_KEY,
        "timeout": provider.first_byte_timeout_seconds,
        "max_retries": 0,
        **({"extra_headers": dict(provider.headers)} if provider.headers else {}),
    }
    if dialect.slug == "azure":
        base = backend.url.removesuffix(_AZURE_SUFFIX)
        version = provider.api_version or dialect.default_version
        return {"model": f"azure/{name}", "api_base": base, "api_version": version, **common}
    if dialect.speech == "anthropic":
        base = backend.url.removesuffix(_VERSION_SUFFIX)
        return {"model": f"anthropic/{name}", "api_base": base, **common}
    if dialect.auth_header != "authorization":
        raise _NotForLiteLLM(f"the plugin does not know how LiteLLM calls {dialect.label}")
    return {"model": f"openai/{name}", "api_base": backend.url, **common}
