"""The right to execute database functions: the console has it for the functions it needs, nobody else for any.

PostgreSQL lets everybody execute a new function. A function that runs with its owner's rights (`SECURITY DEFINER`)
bypasses row-level security. So after each `migrate` we revoke all of ours from PUBLIC, and grant the console's role
those named here. Triggers fire without a right to execute their function.
"""

from __future__ import annotations

from typing import Any, Final

from psycopg import sql

# Functions that the console calls and that run with their owner's rights. Each checks its arguments.
FOR_THE_CONSOLE: Final = (
    # Statistics; takes nothing, returns nothing.
    "analyze_ledger",
    # Requires a record in the audit log, and an age of 180 days.
    "audit_prune",
    # Requires a record in the audit log.
    "audit_redact",
    # Makes an empty partition of a month.
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
    """Revoke all our functions from PUBLIC and grant the console those it needs. Safe to repeat.

    A function that runs with its caller's rights gets the search path `public, pg_temp`, so that a temporary table
    cannot shadow one of ours. A function that runs with its owner's rights must set it itself; a test checks this.
    """
    cursor.execute(_FUNCTIONS)
    for signature, name, is_definer, is_trigger, is_pinned in cursor.fetchall():
        names = {"function": sql.SQL(signature), "role": sql.Identifier(console_role)}

        def run(statement: str, names: dict[str, sql.Composable] = names) -> None:
            cursor.execute(sql.SQL(statement).format(**names))

        if not is_definer and not is_pinned:
            run("ALTER ROUTINE {function} SET search_path = public, pg_temp")
        # Grant before revoking from PUBLIC: a console may be running.
        if name in FOR_THE_CONSOLE or not (is_definer or is_trigger):
            run("GRANT EXECUTE ON ROUTINE {function} TO {role}")
        else:
            run("REVOKE ALL ON ROUTINE {function} FROM {role}")
        run("REVOKE ALL ON ROUTINE {function} FROM PUBLIC")
