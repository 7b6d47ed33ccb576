"""Whose answer is it? Between us and an API server stand proxies, load balancers and login pages, and they answer too.

What is no JSON object of the kind that was asked for says nothing about the cluster: the API server counts as away.
Only a `Status` object that speaks of the very object asked for means that it is gone or was refused. See the
Kubernetes API conventions, "Response Status Kind".
"""

import json
from dataclasses import dataclass
from typing import Any

from deployments.cluster.base import Manifest, TemporaryClusterError

_SHOWN = 200  # characters of a stranger's answer in a message


@dataclass(frozen=True)
class Asked:
    """The object of a request: its kind, its plural resource name, and its own name ("" for a list or a review)."""

    kind: str
    resource: str
    name: str = ""

    def is_named_by(self, details: Any) -> bool:
        """Whether the `details` of a Status speak of this object. A Status without any answers what was asked."""
        if details is None:
            return True
        if not isinstance(details, dict):
            return False
        is_same_kind = str(details.get("kind", "")).lower() in (self.resource, self.kind.lower())
        return is_same_kind and str(details.get("name", "")) == self.name


def parse_object(body: bytes | str, asked: Asked) -> Manifest:
    """The object in a successful answer. Raises TemporaryClusterError unless it is the one that was asked for."""
    document = _parse(body)
    metadata = document.get("metadata") if document else None
    if (
        document is None
        or document.get("kind") != asked.kind
        or (asked.name and not _is_stored(metadata, asked.name))
    ):
        raise strange_answer(200, body)
    return document


def parse_list(body: bytes | str, kind: str) -> list[Manifest]:
    """The items of a list of this kind, such as "PodList". Raises TemporaryClusterError for anything else."""
    document = _parse(body)
    items = document.get("items") if document else None
    if document is None or document.get("kind") != kind or not isinstance(items, list):
        raise strange_answer(200, body)
    return items


def parse_deletion(body: bytes | str, asked: Asked) -> None:
    """Accept the answer to a DELETE: a Status that says Success, or the object that is now going away.

    Raises TemporaryClusterError for anything else.
    """
    document = _parse(body)
    if document and document.get("kind") == "Status":
        details = document.get("details")
        # A success names the resource and the uid; the name may be missing.
        named = details if isinstance(details, dict) and details.get("name") else None
        if document.get("status") == "Success" and asked.is_named_by(named):
            return
        raise strange_answer(200, body)
    parse_object(body, asked)


def parse_version(body: bytes | str) -> str:
    """What an API server calls itself. Raises TemporaryClusterError for an answer that is not one's."""
    document = _parse(body)
    version = document.get("gitVersion") if document else None
    if not isinstance(version, str) or not version:
        raise strange_answer(200, body)
    return version


def failure_in(status: int, body: bytes | str) -> dict[str, Any] | None:
    """The Status object of a failed request, or None where somebody else than an API server answered."""
    document = _parse(body)
    if document is None or document.get("kind") != "Status" or document.get("status") != "Failure":
        return None
    return document if document.get("code", status) == status else None


def strange_answer(status: int, body: bytes | str) -> TemporaryClusterError:
    """The error for an answer that is not the API server's own."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body
    shown = " ".join(text.split())[:_SHOWN]
    return TemporaryClusterError(
        f"Something else than the cluster's API server answered (HTTP {status}: {shown or 'an empty body'}). "
        "Check the address in the kubeconfig, and the proxies and sign-in pages in front of it."
    )


def _is_stored(metadata: Any, name: str) -> bool:
    """Whether these are the metadata of an object of that name which an API server keeps."""
    return (
        isinstance(metadata, dict)
        and metadata.get("name") == name
        and bool(metadata.get("uid"))
        and all(isinstance(metadata.get(each) or {}, dict) for each in ("labels", "annotations"))
    )


def _parse(body: bytes | str) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
