"""Who may call the database's functions: the console those it needs, nobody else any.

PostgreSQL lets everybody execute a new function. One that runs with its owner's rights (`SECURITY DEFINER`) sees past
row-level security, so after each `migrate` all of ours are taken from PUBLIC, and the console's role is given those
that are named here. Triggers fire without a right to execute their function.
"""

from __future__ import annotations

from typing import Any, Final

from psycopg import sql

# With their owner's rights, and the console calls them. Each checks what it is asked for.
FOR_THE_CONSOLE: Final = (
    # Statistics; takes nothing, returns nothing.
    "analyze_ledger",
    # Asks for a record in the audit log, and for an age of 180 days.
    "audit_prune",
    # Asks for a record in the audit log.
    "audit_redact",
    # An empty partition of a month.
    "make_usage_partition",
    "months_without_usage_partition",  # months, of no tenant
)

_FUNCTIONS: Final = """
SELECT p.oid::regprocedure::text, p.proname, p.prosecdef, p.prorettype = 'trigger'::regtype,
       coalesce(array_to_string(p.proconfig, ';'), '') ~ '(^|;)search_path='
  FROM pg_proc p
 WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p') AND pg_has_role(p.proowner, 'USAGE')
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
 ORDER BY 1
"""


def grant_functions(cursor: Any, console_role: str) -> None:
    """Take every function of ours from PUBLIC and give the console its own. Safe to repeat.

    A function that runs with its caller's rights gets the search path `public, pg_temp`, so that a temporary table
    cannot take the place of one of ours. One that runs with its owner's rights must bring it itself: a test asks.
    """
    cursor.execute(_FUNCTIONS)
    for signature, name, is_definer, is_trigger, is_pinned in cursor.fetchall():
        names = {"function": sql.SQL(signature), "role": sql.Identifier(console_role)}

        def run(statement: str, names: dict[str, sql.Composable] = names) -> None:
            cursor.execute(sql.SQL(statement).format(**names))

        if not is_definer and not is_pinned:
            run("ALTER ROUTINE {function} SET search_path = public, pg_temp")
        # First: a console may be running.
        if name in FOR_THE_CONSOLE or not (is_definer or is_trigger):
            run("GRANT EXECUTE ON ROUTINE {function} TO {role}")
        else:
            run("REVOKE ALL ON ROUTINE {function} FROM {role}")
        run("REVOKE ALL ON ROUTINE {function} FROM PUBLIC")
