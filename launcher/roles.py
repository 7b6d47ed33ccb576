"""Two database roles: one owns and migrates the tables; the other serves requests and owns nothing (core/rls.py)."""

from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from launcher.errors import LauncherError

# The role that holds the rights; same as in core/rls.py.
CONSOLE_ROLE = "quartermaster_console"


def console_url(owner_url: str, *, login: str, password: str) -> str:
    """Make the login role of the console, if necessary, and return the URL under which it connects.

    Safe to repeat; each call sets the password again. Raises LauncherError if the owner may not create roles.
    """
    try:
        with psycopg.connect(owner_url, autocommit=True) as connection:
            for role in (CONSOLE_ROLE, login):
                if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount:
                    connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
            connection.execute(
                sql.SQL("ALTER ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD {}").format(
                    sql.Identifier(login), sql.Literal(password)
                )
            )
            connection.execute(
                sql.SQL("GRANT {} TO {}").format(sql.Identifier(CONSOLE_ROLE), sql.Identifier(login))
            )
    except psycopg.errors.InsufficientPrivilege as error:
        raise LauncherError(
            f"The role of DATABASE_URL may not create the console's own role ({error}). Ask the "
            f"database's administrator to run: CREATE ROLE {CONSOLE_ROLE}; CREATE ROLE console LOGIN "
            f"PASSWORD '…' IN ROLE {CONSOLE_ROLE}; then give its address as DATABASE_URL and the owner's "
            "as DATABASE_OWNER_URL."
        ) from error
    parts = urlsplit(owner_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(login)}:{quote(password, safe='')}@{host}"))
