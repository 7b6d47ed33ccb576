"""Makes an index of a configuration that arrives line by line, everything or changes."""

from gateway.config_stream import (
    ConfigEnd,
    ConfigHead,
    ConfigPart,
    ConfigRecords,
    ConfigRouting,
    decode_part,
)
from gateway.contract import ConfigSnapshot, ContractError
from gateway.proxy.index import Index
from gateway.proxy.records import Keys, Records, RecordsEdit


class IndexBuilder:
    """One message after the other is put on top of the index in force, which itself stays as it is."""

    def __init__(self, before: Index | None) -> None:
        self._before = before
        self.head: ConfigHead | None = None
        self.is_ended = False
        self._edit: RecordsEdit | None = None
        self._routing: ConfigRouting | None = None

    def take(self, line: bytes) -> None:
        """Read one line: about a millisecond of work. Raises ContractError for one that has no place here."""
        self.take_part(decode_part(line))

    def take_part(self, part: ConfigPart) -> None:
        """As `take`, for a line that was read already."""
        if self.is_ended:
            raise ContractError("The configuration goes on after its end.")
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
        if self.head is None or self._edit is None or not self.is_ended:
            raise ContractError("The configuration was cut off.")
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
            contract_version=self.head.contract_version,
        )
        gone = self._edit.gone_limits if self.head.after is not None else None
        keys = Keys(self._edit.done(), before=self._compact(), gone_limits=gone)
        return Index(snapshot, keys=keys, state=self.head.state, before=self._before)

    def _begin(self, head: ConfigHead) -> None:
        if self.head is not None:
            raise ContractError("The configuration has two heads.")
        self.head = head
        if head.after is None:
            known = self._compact()
            self._edit = RecordsEdit(Records(), known.records if known else None)
            return
        keys = self._compact()
        if keys is None or self._before is None or self._before.revision != head.after:
            raise ContractError(f"These are changes since revision {head.after}, which is not in force here.")
        self._edit = RecordsEdit(keys.records)

    def _compact(self) -> Keys | None:
        keys = self._before.keys if self._before else None
        return keys if isinstance(keys, Keys) else None

    def _end(self, end: ConfigEnd) -> None:
        if self.head is None or end.revision != self.head.revision:
            raise ContractError("The configuration ends with another revision than it began with.")
        self.is_ended = True
