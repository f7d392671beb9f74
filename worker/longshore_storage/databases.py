"""Read-only access to databases over SQLAlchemy: PostgreSQL, Azure SQL and SQL Server.

User and password come from the environment and are never part of a URL, so that showing a URL reveals nothing. They
are also removed from the messages of drivers, whose exceptions are never chained.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from longshore_protocol.packages import MissingPackageError, require
from longshore_protocol.redaction import redacted
from longshore_storage.errors import DatabaseError

if TYPE_CHECKING:
    import sqlalchemy

_AT_ONCE = 500  # rows in memory
_CONNECT_SECONDS = 30
_VARIABLE = "LONGSHORE_SQL_"
_DRIVERS = {"postgresql": "psycopg", "mssql": "pymssql"}  # scheme -> package
# Rejected logins in messages of PostgreSQL and SQL Server, which use the same exceptions for transient errors.
_REFUSED = re.compile(
    "authentication failed|FATAL:.* does not exist|no pg_hba.conf entry|Login failed|Cannot open database"
)
_OF_LIBRARY = re.compile(r"DB-Lib error message \d+, severity \d+:\n")
_PASSWORDS = ("PGPASSWORD", "PGSSLPASSWORD")  # read by PostgreSQL's client itself


class Database:
    """One database. Connections are opened on demand, pooled and limited by `engine`."""

    def __init__(self, engine: sqlalchemy.Engine, url: str) -> None:
        self._engine = engine
        self._url = url

    @contextmanager
    def session(self) -> Iterator[sqlalchemy.Connection]:
        """Yield a connection that streams results, for PostgreSQL from one snapshot of the database.

        Raises:
            DatabaseError: The connection fails, or a statement inside the block fails.
        """
        import sqlalchemy

        options: dict[str, Any] = {"yield_per": _AT_ONCE}
        if self._engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        try:
            with self._engine.connect() as connection:
                yield connection.execution_options(**options)
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._database_error(error) from None

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _database_error(self, error: Exception) -> DatabaseError:
        from sqlalchemy import exc

        text = _message_of(getattr(error, "orig", None) or error)
        for secret in _secrets():
            text = text.replace(secret, "***")
        is_retryable = isinstance(
            error, exc.OperationalError | exc.InterfaceError | exc.InternalError | exc.TimeoutError
        )
        is_retryable = is_retryable and _REFUSED.search(text) is None
        return DatabaseError(f'database "{self._url}" reported: {text}', is_final=not is_retryable)


def require_database(url: str) -> None:
    """Import the packages that read a database.

    Raises:
        MissingPackageError: One of them cannot be imported. The message names it and its extra.
    """
    for package in filter(None, ["sqlalchemy", _DRIVERS.get(url.partition("://")[0])]):
        require(package, extra="sql", subject=f"Reading {redacted(url)}")


def open_database(url: str, *, name: str, connections: int = 1) -> Database:
    """Return the database of a Datastore without connecting to it.

    Args:
        url: The database's URL, without credentials.
        name: Name of the Datastore, which selects the variables with user and password.
        connections: The most connections.

    Raises:
        DatabaseError: `longshore[sql]` is not installed, or `url` is not a database URL.
    """
    try:
        require_database(url)
    except MissingPackageError as error:
        raise DatabaseError(str(error), is_final=True) from None
    import sqlalchemy

    try:
        where = sqlalchemy.make_url(url)
        driver, arguments = _arguments(where.get_backend_name(), name)
        engine = sqlalchemy.create_engine(
            where.set(drivername=driver),
            connect_args=arguments,
            hide_parameters=True,
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,  # a pooled connection may have been closed meanwhile
        )
    except (sqlalchemy.exc.SQLAlchemyError, KeyError):
        raise DatabaseError(f'"{url}" is not a database URL', is_final=True) from None
    return Database(engine, url)


def _arguments(backend: str, name: str) -> tuple[str, dict[str, Any]]:
    """Return the driver of a backend and its connection arguments besides host, port and database."""
    user, password = (_variable(name, each) for each in ("USER", "PASSWORD"))
    login = {key: each for key, each in (("user", user), ("password", password)) if each is not None}
    if backend == "postgresql":  # its library reads PGUSER, PGPASSWORD, PGSSLMODE and others by itself
        return "postgresql+psycopg", {"connect_timeout": _CONNECT_SECONDS, "application_name": "longshore", **login}
    return {"mssql": "mssql+pymssql"}[backend], {
        "login_timeout": _CONNECT_SECONDS,
        "appname": "longshore",
        "encryption": "require",
        "read_only": True,
        **login,
    }


def _variable(name: str, what: str) -> str | None:
    """Return the value of a Datastore's own variable, or of the one for all Datastores."""
    own = re.sub("[^A-Z0-9]", "_", name.upper())
    return os.environ.get(f"{_VARIABLE}{own}_{what}", os.environ.get(f"{_VARIABLE}{what}"))


def _secrets() -> Iterator[str]:
    for variable, value in os.environ.items():
        is_ours = variable.startswith(_VARIABLE) and variable.endswith("_PASSWORD")
        if value and (is_ours or variable in _PASSWORDS):
            yield value


def _message_of(error: BaseException) -> str:
    """Return the message of a driver's error in one line, without the query and the library's remarks."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)  # PostgreSQL's
    if primary:
        return " ".join(str(primary).split()).rstrip(".")
    messages = [each.decode("utf-8", "replace") for each in _flat(error.args) if isinstance(each, bytes)]  # FreeTDS'
    # The server's message, if any, is first; repeated messages of the library follow.
    text = next(filter(str.strip, _OF_LIBRARY.split(" ".join(messages))), str(error))
    return " ".join(text.partition("\nLINE ")[0].split()).rstrip(".") or type(error).__name__


def _flat(values: Any) -> Iterator[Any]:
    for each in values:
        if isinstance(each, tuple):
            yield from _flat(each)
        else:
            yield each
