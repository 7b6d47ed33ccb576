"""Turns an API server's answers into the two errors that callers know, in words an operator can act on."""

import json
import re
from dataclasses import replace

from deployments.cluster.base import PermanentClusterError, QuotaExceededError, TemporaryClusterError
from deployments.cluster.kubernetes_answers import Asked, failure_in, strange_answer
from deployments.cluster.kubernetes_quota import is_of_quota, way_out

_DENIED = re.compile(
    r'cannot (\w+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]+)")?'
)

# All other statuses are temporary, such as 410 Gone.
_REFUSALS = (400, 403, 404, 405, 406, 413, 415, 422)

# Only an API server that processes the object says this; it passes on the webhook's own Status, without details.
_BY_WEBHOOK = re.compile(r'^admission webhook "[^"]+" denied the request')


def cluster_error(
    status: int, reason: str, body: str, asked: Asked | None = None
) -> TemporaryClusterError | PermanentClusterError:
    """The error for an HTTP status (0: no answer) with its reason and body.

    Permanent only if an API server itself refuses the object that was `asked` for. An answer without a Status object,
    or with one about something else, comes from elsewhere, and the cluster counts as away. So it does for a refusal
    that does not name the object, as every 401: it is tried again, and succeeds once the cause is fixed.
    """
    message = message_in(body) or reason or "no reason given"
    if status == 0:
        if "certificate" in reason.lower():
            return PermanentClusterError(
                f"The API server's certificate is not trusted: {_short(reason)} "
                "Correct the cluster's certificate authority."
            )
        return TemporaryClusterError(f"The cluster's API server does not answer: {_short(reason)}")
    failure = failure_in(status, body)
    if failure is None and not (status in (408, 429) or status >= 500):
        return strange_answer(status, body)
    details = (failure or {}).get("details")
    is_about_it = asked is None or not details or asked.is_named_by(details)
    # A refusal to create an object may leave its name out.
    is_of_it = is_about_it or (asked is not None and replace(asked, name="").is_named_by(details))
    if failure and is_of_it and 400 <= status < 500 and status != 401 and is_of_quota(message):
        return QuotaExceededError(
            f"{_short(message)}. {way_out(message, ask_for='less')}; it then continues by itself."
        )
    is_passing = status in (408, 409, 429) or status >= 500
    if is_passing or "is being terminated" in message:
        return TemporaryClusterError(f"The cluster cannot do it now (HTTP {status}): {_short(message)}")
    if status == 401:
        return TemporaryClusterError(
            "The cluster, or a proxy in front of it, rejects our credentials: they have expired or were "
            f"withdrawn. Enter new ones. (HTTP 401: {_short(message)})"
        )
    if not details and not _BY_WEBHOOK.search(message):
        return TemporaryClusterError(
            f"The cluster, or a proxy in front of it, refuses a request (HTTP {status}: "
            f"{_short(message)}) and does not name the object. Check the proxies. The console tries again "
            "every minute."
        )
    if not is_about_it or (status == 404 and (failure or {}).get("reason") != "NotFound"):
        return strange_answer(status, body)
    if status not in _REFUSALS:
        return TemporaryClusterError(f"The cluster cannot do it now (HTTP {status}): {_short(message)}")
    if status == 403:
        return _denied(message)
    return PermanentClusterError(f"The cluster refuses the deployment (HTTP {status}): {_short(message)}")


def _denied(message: str) -> PermanentClusterError:
    match = _DENIED.search(message)
    if match is None:
        return PermanentClusterError(f"The cluster forbids it: {_short(message)}")
    verb, resource, group, namespace = match.groups()
    what = f"{verb} {resource}.{group}" if group else f"{verb} {resource}"
    where = f" in namespace {namespace}" if namespace else ""
    return PermanentClusterError(
        f"The cluster's credentials may not {what}{where}. "
        "Grant it to them; docs/deployments.md has the role."
    )


def message_in(body: str) -> str:
    """The sentence in a Kubernetes Status object, or the body itself."""
    try:
        status = json.loads(body)
    except ValueError:
        return body
    return str(status.get("message", "")) if isinstance(status, dict) else body


def _short(text: str) -> str:
    return " ".join(text.split())[:500]
