"""Requests to an API server and its answers: bounded in bytes and in time, with errors in our own terms."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client
from kubernetes.client import rest
from kubernetes.client.exceptions import ApiException

from deployments.cluster.base import Manifest, TemporaryClusterError, UnnamedAbsenceError
from deployments.cluster.kubernetes_answers import (
    Asked,
    failure_in,
    is_bare_not_found,
    is_not_found,
    parse_list,
    strange_answer,
)
from deployments.cluster.kubernetes_errors import cluster_error

# Bytes of one answer, unpacked; the largest answers that we request are 500 pods or nodes.
MOST_BYTES = 32 * 1024 * 1024
_PIECE = 64 * 1024
# Items in a page of a list; a server need not comply.
PAGE, _MOST_PAGES = 500, 40


class Gone(Exception):
    """The requested object does not exist."""


def bounded(api: client.ApiClient, timeout_seconds: float) -> client.ApiClient:
    """The same client, which abandons an answer that is larger than MOST_BYTES, or whose body is incomplete
    `timeout_seconds` after its head. The client itself reads whatever is sent, for as long as something arrives."""
    api.rest_client = _BoundedClient(api.configuration, timeout_seconds)
    return api


@dataclass(frozen=True)
class _Whole:
    """An answer that was read in full, with what the client needs of it."""

    status: int
    reason: str | None
    headers: Any
    data: bytes


class _BoundedClient(rest.RESTClientObject):
    def __init__(self, configuration: client.Configuration, timeout_seconds: float) -> None:
        super().__init__(configuration)
        self._timeout_seconds = timeout_seconds

    def request(self, *arguments: Any, **named: Any) -> Any:
        response = super().request(*arguments, **named).response  # type: ignore[no-untyped-call]
        try:
            data = self._read(response)
        except BaseException:
            # The rest of it must not be mistaken for the next answer.
            response.close()
            raise
        return rest.RESTResponse(_Whole(response.status, response.reason, response.headers, data))

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        deadline = time.monotonic() + self._timeout_seconds
        body = bytearray()
        while piece := response.read1(_PIECE, decode_content=True):
            body += piece
            if len(body) > MOST_BYTES:
                raise TemporaryClusterError(
                    f"Something answers in the API server's place with more than {MOST_BYTES // 1024**2} MiB. "
                    "Check the address in the kubeconfig, and the proxies in front of it."
                )
            if time.monotonic() > deadline:
                raise TemporaryClusterError(
                    f"The cluster's API server does not answer: after {self._timeout_seconds:g} seconds "
                    "its answer is incomplete."
                )
        return bytes(body)


@contextlib.contextmanager
def in_our_words(asked: Asked, *, gone: bool = False) -> Iterator[None]:
    """Turn the client's errors into our two. With `gone`, the API server's statement that the requested object does
    not exist becomes `Gone`. An answer that does not look like an API server's proves nothing."""
    try:
        yield
    except ApiException as error:
        status, body = error.status or 0, error.body or ""
        if gone and status == 404:
            failure = failure_in(status, body)
            if is_not_found(failure, asked):
                raise Gone from error
            strange = strange_answer(status, body)
            raise (UnnamedAbsenceError(str(strange)) if is_bare_not_found(failure) else strange) from error
        raise cluster_error(status, error.reason or "", body, asked) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TemporaryClusterError(f"The cluster's API server does not answer: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise strange_answer(200, f"{type(error).__name__}: {error}") from error


def list_all(
    kind: str, ask: Callable[..., Any], how: dict[str, Any], *where: str, **query: str
) -> list[Manifest]:
    """Every page of a list that `ask` returns; `how` holds the options of each call. Raises TemporaryClusterError for a
    list without an end."""
    found: list[Manifest] = []
    page: dict[str, str] = {}
    for _ in range(_MOST_PAGES):
        items, more = parse_list(body_of(ask(*where, limit=PAGE, **query, **page, **how)), kind)
        found += items
        if not more:
            return found
        page = {"_continue": more}
    raise TemporaryClusterError(f"The cluster's API server does not answer: its {kind} does not end.")


def body_of(response: Any) -> bytes:
    """The raw bytes of a response, which the client does not read itself."""
    body: bytes = response.data
    return body
