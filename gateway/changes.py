"""What changed since a revision, for gateways that serve exactly that one. A changed key is sent as one key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.apart import Apart
from gateway.compile import (
    LIMITED,
    Packer,
    batches,
    head_of,
    limits_classes,
    one_moment,
    state_of,
)
from gateway.contract import CONTRACT_VERSION
from gateway.contract.signatures import Message
from gateway.contract.stream import ConfigPart, ConfigRecords, ConfigRouting, LimitsRecord
from gateway.corrections import Publishable
from gateway.proof import NotProved
from gateway.publishing import Publishing, publishable_routing, todays_routing
from tenants.models import ApiKey, Project, Tenant
from tenants.revision import Changes, changes_between, current_revision, mark_of

# Beyond that number, sending everything costs hardly more.
MOST_CHANGES: Final = 50_000


def compile_changes(after: int, state: str, version: int = CONTRACT_VERSION) -> tuple[Message, bytes] | None:
    """What changed since `after`, as gzip members, and what the end is made of; None if only everything will do.

    Everything is necessary if someone raised the revision without naming what changed, if the change is too long ago
    or too large, or if `state` is not what this database gave for `after` in this version, as it was restored from a
    copy since. In version 1, what a project may use depends on routes (gateway/contract/versions.py), so new routes can
    make everything necessary. Compiles only what the changes name: some fifteen queries, whatever the number
    of keys. What cannot be proved is replaced by what can, and noted (gateway/corrections.py); then it takes some more.
    Raises NotProved if even that cannot be proved.
    """
    mark, _, known = state.partition(".")
    known_routing, _, known_version = known.partition(".")
    if (known_version or "1") != str(version):
        return None
    with one_moment():
        revision = current_revision()
        if not mark or mark_of(after) != mark:
            return None
        changes = changes_between(after, revision)
        if changes is None or len(changes) > MOST_CHANGES:
            return None
        apart = Apart()
        found = _records_of(changes, version, apart)
        if found is None:
            return None
        since = _Since(after, revision, known_routing)
        today = None
        try:
            today = todays_routing()
            sent = Publishing(Publishable(today, []), version, is_everything=False, corrects=False)
            packed = _packed(sent, found, since)
        except NotProved:
            sent = Publishing(publishable_routing(version, today), version, is_everything=False)
            try:
                packed = _packed(sent, found, since)
            except NotProved:
                if version == CONTRACT_VERSION:
                    raise
                # There, what each project may use is corrected by itself.
                return None
    sent.note(revision, apart.faults)
    return packed


@dataclass(frozen=True)
class _Since:
    """What changes lead from and to: revisions, and what a gateway said of the routes that it knows."""

    after: int
    revision: int
    known_routing: str


def _packed(sent: Publishing, found: list[ConfigPart], since: _Since) -> tuple[Message, bytes] | None:
    """The changes as they are published; None if only everything will do. Raises NotProved."""
    new_state = state_of(mark_of(since.revision), sent.routing, sent.version)
    is_rerouted = new_state.split(".")[1] != since.known_routing
    was_limited = since.known_routing.endswith(LIMITED)
    if sent.version == 1 and is_rerouted and (was_limited or _routes_rule_projects_out(sent.routing)):
        return None
    parts: list[ConfigPart] = [head_of(since.revision, state=new_state, after=since.after), *found]
    if is_rerouted:
        parts.append(sent.routing)
    packed = Packer(sent)
    body = b"".join(packed(part) for part in parts)
    return packed.message(since.revision, state=new_state, after=since.after), body


def _routes_rule_projects_out(routing: ConfigRouting) -> bool:
    """Whether some project could lose or gain a model in version 1 when routes change."""
    return limits_classes(routing) or Tenant.objects.exclude(regions=[]).exists()


def _records_of(changes: Changes, version: int, apart: Apart) -> list[ConfigPart] | None:
    """The current records that `changes` name; None if one of them cannot be named to gateways."""
    rows = ApiKey.objects.across_tenants().filter(pk__in=changes.keys).order_by()
    digests, homes = {}, set()
    for pk, digest, project in rows.values_list("pk", "digest", "project_id"):
        digests[pk] = digest
        homes.add(project)
    # Such a key is deleted, and its digest is unknown.
    if changes.keys - digests.keys():
        return None
    # A key may be the first of its project and tenant.
    projects = changes.projects | homes
    if version == 1 and changes.tenants:
        # What they may use there depends on their tenant's regions.
        within = Project.objects.across_tenants().filter(tenant__in=changes.tenants)
        projects = projects | set(within.values_list("pk", flat=True))
    owners = Project.objects.across_tenants().filter(pk__in=projects).values_list("tenant_id", flat=True)
    tenants = changes.tenants | set(owners)

    found_tenants = list(apart.tenant_records(list(tenants))) if tenants else []
    found_projects = list(apart.project_records(list(projects))) if projects else []
    found_keys = list(apart.key_records(list(changes.keys))) if changes.keys else []
    scopes = changes.limits | {UUID(key.key_id) for key in found_keys}
    limits = list(apart.limits_records(list(scopes))) if scopes else []
    gone = scopes - {UUID(record.scope_id) for record in limits}
    usable = {key.digest for key in found_keys}
    parts: list[ConfigPart] = [
        ConfigRecords(
            removed_tenants=_missing(tenants, (tenant.id for tenant in found_tenants)),
            removed_projects=_missing(projects, (project.id for project in found_projects)),
            removed_keys=sorted(digest for digest in digests.values() if digest and digest not in usable),
        )
    ]
    parts += [ConfigRecords(tenants=some) for some in batches(found_tenants)]
    parts += [ConfigRecords(projects=some) for some in batches(found_projects)]
    parts += [ConfigRecords(limits=some) for some in batches(limits)]
    nothing = (LimitsRecord(scope="key", scope_id=str(pk)) for pk in sorted(gone))  # any scope will do
    parts += [ConfigRecords(limits=some) for some in batches(nothing)]
    parts += [ConfigRecords(keys=some) for some in batches(found_keys)]
    return parts


def _missing(wanted: Iterable[UUID], found: Iterable[str]) -> list[str]:
    return sorted({str(pk) for pk in wanted}.difference(found))
