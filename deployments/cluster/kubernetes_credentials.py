"""Kubeconfigs: the credentials for an API server, and the parts that we refuse to use."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from deployments.cluster.base import PermanentClusterError

_REFERENCES = frozenset(
    ("exec", "auth-provider", "tokenFile", "client-certificate", "client-key", "certificate-authority")
)
"""What a kubeconfig uses to name programs and files."""


def client_from_file(path: Path, context: str | None) -> client.ApiClient:
    """From a kubeconfig that an administrator put on this machine; it may name other files and plug-ins.

    Raises PermanentClusterError when it cannot be used.
    """
    with _unusable_kubeconfig():
        api: client.ApiClient = config.new_client_from_config(  # type: ignore[no-untyped-call]
            config_file=str(path),
            context=context,
            persist_config=False,
            client_configuration=_configuration(),
        )
        return api


def client_from_text(kubeconfig: str | Mapping[str, Any], context: str | None) -> client.ApiClient:
    """From a kubeconfig that someone gave us (YAML, or already parsed), which must contain its credentials.

    Raises PermanentClusterError when it cannot be used, or names programs or files of this machine.
    """
    with _unusable_kubeconfig():
        parsed = yaml.safe_load(kubeconfig) if isinstance(kubeconfig, str) else dict(kubeconfig)
        _refuse_references(parsed)
        api: client.ApiClient = config.new_client_from_config_dict(  # type: ignore[no-untyped-call]
            config_dict=parsed, context=context, persist_config=False, client_configuration=_configuration()
        )
        return api


def client_in_cluster() -> client.ApiClient:
    """From the service account of the pod we run in. Raises PermanentClusterError outside a cluster."""
    configuration = _configuration()
    with _unusable_kubeconfig():
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return client.ApiClient(configuration)


def _configuration() -> client.Configuration:
    configuration = client.Configuration()
    # Our callers retry, with back-off.
    configuration.retries = False
    return configuration


@contextlib.contextmanager
def _unusable_kubeconfig() -> Iterator[None]:
    """Turn the errors of loading a kubeconfig into PermanentClusterError."""
    try:
        yield
    except yaml.YAMLError as error:
        raise PermanentClusterError(f"This kubeconfig is not usable: {_not_yaml(error)}") from error
    except (
        ConfigException,
        OSError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise PermanentClusterError(f"This kubeconfig is not usable: {error}") from error


def _not_yaml(error: yaml.YAMLError) -> str:
    """Where it stops being YAML. The words of the library would quote what is written there, and may be a secret."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return "It is not YAML."
    return f"It is not YAML from line {mark.line + 1}, column {mark.column + 1} on."


def _refuse_references(kubeconfig: Any) -> None:
    if not isinstance(kubeconfig, dict):
        raise ConfigException("It is not a YAML mapping.")
    users = [entry.get("user") or {} for entry in kubeconfig.get("users") or []]
    clusters = [entry.get("cluster") or {} for entry in kubeconfig.get("clusters") or []]
    forbidden = {key for entry in [*users, *clusters] for key in entry} & _REFERENCES
    if forbidden:
        raise ConfigException(
            f"It refers to programs or files of another machine ({', '.join(sorted(forbidden))}). "
            "Use one with a token or certificates inside, as "
            "`kubectl config view --raw --flatten --minify` writes it."
        )
