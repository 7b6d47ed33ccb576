"""Checks that an answer is the API server's own: proxies, load balancers and login pages in between answer, too.

An answer that is no JSON object of the requested kind says nothing about the cluster: the API server counts as away.
Only a `Status` whose details name the requested object means that it is gone or was refused. An API server
always names it when it finds nothing, forbids or rejects. Access proxies write a `Status` of their own without
details, such as "cluster not found". See the Kubernetes API conventions, "Response Status Kind".
"""

import json
from dataclasses import dataclass
from typing import Any

from deployments.cluster.base import Manifest, TemporaryClusterError

# Characters of an unknown server's answer in a message.
_SHOWN = 200


@dataclass(frozen=True)
class Asked:
    """The object of a request: its kind, its plural resource name, and its own name ("" for a list or a review)."""

    kind: str
    resource: str
    name: str = ""
    group: str = ""
    uid: str = ""
    """Of the object as it was last read; "" where it was not read before."""
    namespace: str = ""

    def is_named_by(self, details: Any) -> bool:
        """Whether the `details` of a Status name this object: by kind and name, and by group and uid if given."""
        if not isinstance(details, dict):
            return False
        return (
            str(details.get("kind", "")).lower() in (self.resource, self.kind.lower())
            and str(details.get("name", "")) == self.name
            and str(details.get("group") or self.group) == self.group
            and self.has_uid(details)
        )

    def has_uid(self, place: dict[str, Any]) -> bool:
        """Whether a uid given there is that of this object; also true if none is given, or none is known."""
        return not self.uid or str(place.get("uid") or self.uid) == self.uid


def parse_object(body: bytes | str, asked: Asked) -> Manifest:
    """The object in a successful answer. Raises TemporaryClusterError unless it is the requested one."""
    document = _parse(body)
    metadata = document.get("metadata") if document else None
    if (
        document is None
        or document.get("kind") != asked.kind
        or (asked.name and not (_is_stored(metadata, asked) and _is_of_group(document, asked)))
    ):
        raise strange_answer(200, body)
    return document


def parse_list(body: bytes | str, kind: str) -> tuple[list[Manifest], str]:
    """The items of a list of this kind, such as "PodList", and its continue token ("" at its end).

    Raises TemporaryClusterError for anything else: a missing list is not an empty one.
    """
    document = _parse(body)
    items = document.get("items") if document else None
    if document is None or document.get("kind") != kind or not isinstance(items, list):
        raise strange_answer(200, body)
    return items, str((document.get("metadata") or {}).get("continue") or "")


def parse_deletion(body: bytes | str, asked: Asked) -> bool:
    """Read the answer to a DELETE: True for a Status that says Success (the object is gone), False for the object
    itself, which is now being deleted.

    Raises TemporaryClusterError for anything else, and for an answer about another object.
    """
    document = _parse(body)
    if document and document.get("kind") == "Status":
        details = document.get("details")
        if isinstance(details, dict) and asked.uid and details.get("uid") == asked.uid:
            details = {"name": asked.name} | details  # the uid is enough
        # A success names the object and its uid. Lean servers leave the details out, which proves nothing: a later read
        # shows whether the object is gone.
        if document.get("status") == "Success" and (not details or asked.is_named_by(details)):
            return True
        raise strange_answer(200, body)
    parse_object(body, asked)
    return False


def parse_version(body: bytes | str) -> str:
    """The version that an API server reports. Raises TemporaryClusterError for any other server's answer."""
    document = _parse(body)
    version = document.get("gitVersion") if document else None
    if not isinstance(version, str) or not version:
        raise strange_answer(200, body)
    return version


def failure_in(status: int, body: bytes | str) -> dict[str, Any] | None:
    """The Status object of a failed request, or None if something other than an API server answered."""
    document = _parse(body)
    if document is None or document.get("kind") != "Status" or document.get("status") != "Failure":
        return None
    if document.get("apiVersion", "v1") != "v1":
        # A Status of another API.
        return None
    return document if document.get("code") == status else None


def is_not_found(failure: dict[str, Any] | None, asked: Asked) -> bool:
    """Whether a failure is an API server's statement that the requested object does not exist."""
    return bool(failure and failure.get("reason") == "NotFound" and asked.is_named_by(failure.get("details")))


def is_bare_not_found(failure: dict[str, Any] | None) -> bool:
    """Whether a failure says NotFound and does not name what is missing."""
    return bool(failure and failure.get("reason") == "NotFound" and "details" not in failure)


def strange_answer(status: int, body: bytes | str) -> TemporaryClusterError:
    """The error for an answer that is not the API server's own."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    shown = " ".join(text.split())[:_SHOWN]
    return TemporaryClusterError(
        f"Something other than the cluster's API server answered (HTTP {status}: "
        f"{shown or 'an empty body'}). Check the address in the kubeconfig, and the proxies and sign-in "
        "pages in front of it."
    )


def _is_stored(metadata: Any, asked: Asked) -> bool:
    """Whether this is the metadata of the requested object as an API server stores it."""
    return (
        isinstance(metadata, dict)
        and metadata.get("name") == asked.name
        and bool(metadata.get("uid"))
        and asked.has_uid(metadata)
        and (metadata.get("namespace") or asked.namespace) == asked.namespace
        and all(isinstance(metadata.get(each) or {}, dict) for each in ("labels", "annotations"))
    )


def _is_of_group(document: Manifest, asked: Asked) -> bool:
    """Whether the API group in an object is the requested one; other groups may have a kind of the same name."""
    version = document.get("apiVersion")
    return version is None or str(version).rpartition("/")[0] == asked.group


def _parse(body: bytes | str) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
