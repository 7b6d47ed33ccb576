"""Build an index from a configuration that arrives line by line: everything or changes."""

from gateway.contract import ConfigSnapshot, ContractError
from gateway.contract.stream import (
    ConfigEnd,
    ConfigHead,
    ConfigPart,
    ConfigRecords,
    ConfigRouting,
    ProjectRecord,
)
from gateway.contract.versions import PartReader, require_readable
from gateway.proxy.config_proof import Proof
from gateway.proxy.index import Index
from gateway.proxy.records import Keys, Records, RecordsEdit


class IndexBuilder:
    """Applies a message on top of the index `before`, which itself stays unchanged.

    Args:
        before: the index that changes build on. A complete configuration reuses whatever is the same in it.
        is_rebuilt: `before` was never in force, so only the limits that are set now are known.
        proof: checks that the message is genuine.
    """

    def __init__(self, before: Index | None, *, is_rebuilt: bool = False, proof: Proof | None = None) -> None:
        self.proof = proof or Proof()
        self._before = before
        self._is_rebuilt = is_rebuilt
        self._reader = PartReader()
        self.head: ConfigHead | None = None
        self.is_ended = False
        self._edit: RecordsEdit | None = None
        self._routing: ConfigRouting | None = None

    def take(self, line: bytes) -> None:
        """Read one line: about a millisecond of work. Raises ContractError for a line that does not belong here."""
        self.take_part(self._reader.read(line), line)

    def take_part(self, part: ConfigPart, line: bytes = b"") -> None:
        """As `take`, for a line that is already decoded."""
        if not isinstance(part, ConfigEnd):
            self.proof.note(line)
        self._add(part)

    def _add(self, part: ConfigPart) -> None:
        if self.is_ended:
            raise ContractError("The configuration continues after its end.")
        if isinstance(part, ConfigHead):
            self._begin(part)
        elif self.head is None or self._edit is None:
            raise ContractError("The configuration does not begin with its head.")
        elif isinstance(part, ConfigRecords):
            self._edit.take(part)
        elif isinstance(part, ConfigRouting):
            self._routing = part
        else:
            self._end(part)

    def index(self) -> Index:
        """The index at the message's revision. Raises ContractError if it was cut off, or makes no sense."""
        keys = self._keys()
        assert self.head is not None
        routing = self._routing
        if routing is None and (self.head.after is None or self._before is None):
            raise ContractError("The configuration has no routes.")
        known = self._before.snapshot if self._before else None
        snapshot = ConfigSnapshot(
            revision=self.head.revision,
            issued_at=self.head.issued_at,
            keys=[],
            routes=routing.routes if routing else known.routes if known else [],
            prices=routing.prices if routing else known.prices if known else [],
            settings=self.head.settings,
            requires=self.head.requires,
            contract_version=self.head.contract_version,
        )
        return Index(snapshot, keys=keys, state=self.head.state, before=self._before)

    def _keys(self) -> Keys:
        if self.head is None or self._edit is None or not self.is_ended:
            raise ContractError("The configuration was cut off.")
        gone = None if self.head.after is None or self._is_rebuilt else self._edit.gone_limits
        return Keys(self._edit.done(), before=self._compact(), gone_limits=gone)

    def _begin(self, head: ConfigHead) -> None:
        if self.head is not None:
            raise ContractError("The configuration has two heads.")
        require_readable(head.contract_version, head.requires)
        self.head = head
        if head.after is None:
            known = self._compact()
            self._edit = RecordsEdit(known.records if known else Records(), anew=True)
            return
        keys = self._compact()
        if keys is None or self._before is None or self._builds_on != head.after:
            raise ContractError(f"These are changes since revision {head.after}, which is not active here.")
        if head.contract_version != self._before.snapshot.contract_version:
            raise ContractError(
                "These are changes in another version of the contract than the active revision."
            )
        self._edit = RecordsEdit(keys.records)

    @property
    def _builds_on(self) -> int | None:
        return self._before.revision if self._before else None

    def _compact(self) -> Keys | None:
        return _compact_keys(self._before)

    def _end(self, end: ConfigEnd) -> None:
        if self.head is None or end.revision != self.head.revision:
            raise ContractError(
                "The configuration ends with a different revision from the one at its beginning."
            )
        head = self.head
        self.proof.check(head.contract_version, head.revision, head.after, head.state, end.seal)
        self.is_ended = True


class NarrowingBuilder(IndexBuilder):
    """Applies to the index in force only the removals in changes that begin at a revision that is still arriving.

    Additions wait for the complete configuration, since they may depend on facts that are not known yet: resuming
    a tenant would reopen keys that were revoked in between. So the index keeps its own revision.
    """

    def __init__(self, before: Index, begins_at: int, *, proof: Proof | None = None) -> None:
        super().__init__(before, proof=proof)
        self._in_force = before
        self._begins_at = begins_at

    def _add(self, part: ConfigPart) -> None:
        keys = self._in_force.keys
        if isinstance(part, ConfigRouting):
            return
        if isinstance(part, ConfigRecords) and isinstance(keys, Keys):
            part = _narrowed(part, keys.records)
        super()._add(part)

    def index(self) -> Index:
        """The index in force without the removed records. Raises ContractError if the message was cut off."""
        before = self._in_force
        return Index(before.snapshot, keys=self._keys(), state=before.state, before=before)

    @property
    def _builds_on(self) -> int | None:
        return self._begins_at


def _narrowed(part: ConfigRecords, known: Records) -> ConfigRecords:
    """Those of the given records that are already known, with only the grants that both versions have."""
    return ConfigRecords(
        tenants=[tenant for tenant in part.tenants if tenant.id in known.tenants],
        projects=[
            _with_fewer_grants(project, known.projects[project.id])
            for project in part.projects
            if project.id in known.projects
        ],
        keys=[key for key in part.keys if bytes.fromhex(key.digest) in known.keys],
        limits=part.limits,
        removed_tenants=part.removed_tenants,
        removed_projects=part.removed_projects,
        removed_keys=part.removed_keys,
    )


def _with_fewer_grants(project: ProjectRecord, known: ProjectRecord) -> ProjectRecord:
    ends = {
        model: min(end, known.grant_ends[model])
        for model, end in project.grant_ends.items()
        if model in known.grant_ends
    }
    return ProjectRecord(
        id=project.id,
        slug=project.slug,
        tenant_id=project.tenant_id,
        grant_ends=ends,
        # Without its class, a call could go to a target that may not receive its data.
        data_classes=project.data_classes,
    )


def _compact_keys(index: Index | None) -> Keys | None:
    keys = index.keys if index else None
    return keys if isinstance(keys, Keys) else None
