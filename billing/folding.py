"""Moving the newest sums of the rollups from rollup_delta into the folded tables.

Recording usage adds to `rollup_delta` in its own transaction, and the views `rollup_hour`, `rollup_day` and
`rollup_estimated` show folded rows and deltas together. So every reader sees each call once, as soon as it commits.
Folding moves deltas in one statement, so a reader sees each delta in exactly one place. Many calls of a key in one day
then become one row. Its upsert runs once every few seconds, outside the transaction that a gateway waits for.
"""
# ruff: noqa: S608

from __future__ import annotations

from typing import Final

from django.db import connection, transaction

# Deltas in one transaction. Deltas folded together leave no dead row versions behind.
MOST: Final = 500_000

_NAMES: Final = ("usage", "tokens", "calls", "amount")
_SUMS: Final = ", ".join(f"sum({name})" for name in _NAMES)


def _fold(table: str, columns: str, where: str = "") -> str:
    """Add the taken deltas to a folded table in the order of its key. All writers of the table use that order."""
    add = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in _NAMES)
    order = ", ".join(str(number) for number in range(1, columns.count(",") + 2))
    return f"""
    INSERT INTO {table} ({columns}, {", ".join(_NAMES)})
    SELECT {columns}, {_SUMS} FROM taken {where} GROUP BY {order} ORDER BY {order}
    ON CONFLICT ({columns}) DO UPDATE SET {add}"""


_HOUR: Final = "period, tenant_id, project_id, model_id, day, hour, is_unpriced"
_DAY: Final = "period, tenant_id, project_id, key_id, model_id, day, is_unpriced"
_ESTIMATED: Final = "period, tenant_id, project_id, key_id, model_id, day, hour, is_unpriced"

FOLD: Final = f"""
WITH taken AS MATERIALIZED (
    DELETE FROM rollup_delta WHERE ctid = ANY (ARRAY(SELECT ctid FROM rollup_delta LIMIT {MOST})) RETURNING *
), by_hour AS ({_fold("rollup_hour_folded", _HOUR)}
), by_day AS ({_fold("rollup_day_folded", _DAY)}
), estimated AS ({_fold("rollup_estimated_folded", _ESTIMATED, "WHERE NOT is_exact")}
)
SELECT count(*) FROM taken
"""


def fold_rollups() -> int:
    """Fold every committed delta in the scope; return their number. Safe to repeat. Concurrent calls wait."""
    folded = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('billing.fold'))")
            cursor.execute("SET LOCAL jit = off")
            cursor.execute(FOLD)
            count = int(cursor.fetchone()[0])
        folded += count
        if count < MOST:
            return folded
