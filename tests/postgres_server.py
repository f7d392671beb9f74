"""A real PostgreSQL for tests, on a free port of this machine. What is missing of it comes from Debian's packages."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from localcluster.machine import have

USER, PASSWORD = "longshore", "sEcret-of-the-database"
_PROGRAMS = Path("/usr/lib/postgresql")
_SETTINGS = Path("/etc/postgresql-common/createcluster.conf")
_SERVERS_USER = "postgres"  # the package makes it; the server refuses to be root's


@dataclass(frozen=True)
class Server:
    """A running server with one database, and one user who must say the password."""

    port: int

    @property
    def uri(self) -> str:
        """The URL of the database, as a Datastore has it."""
        return f"postgresql://127.0.0.1:{self.port}/tests"

    @property
    def variables(self) -> dict[str, str]:
        """What its clients log in with."""
        return {"LONGSHORE_SQL_USER": USER, "LONGSHORE_SQL_PASSWORD": PASSWORD}

    @property
    def password(self) -> str:
        """What must be seen nowhere."""
        return PASSWORD

    def column(self, query: str) -> list[str]:
        """Return the first column of a query's rows."""
        with psycopg.connect(self.uri, user=USER, password=PASSWORD) as connection:
            return [row[0] for row in connection.execute(query)]

    def execute(self, *statements: str) -> None:
        """Carry out statements, and commit them."""
        with psycopg.connect(self.uri, user=USER, password=PASSWORD, autocommit=True) as connection:
            for each in statements:
                connection.execute(each)


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Run a server."""
    programs = _programs()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="longshore-postgres-")
    try:
        password = Path(folder, "password")
        password.write_text(PASSWORD)
        if not os.geteuid():
            for each in (folder, password):
                shutil.chown(each, _SERVERS_USER, _SERVERS_USER)
        data = f"{folder}/data"
        options = [f"--pgdata={data}", f"--username={USER}", f"--pwfile={password}", "--auth=scram-sha-256"]
        made = [programs / "initdb", *options, "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run([*_as_servers_user(), *made], check=True, cwd="/", stdout=subprocess.DEVNULL)
        settings = (f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off")
        started = [programs / "postgres", "-D", data, *(part for each in settings for part in ("-c", each))]
        server = subprocess.Popen(
            [*_as_servers_user(), *started], cwd="/", stderr=subprocess.PIPE, text=True, errors="replace"
        )
        reader: threading.Thread | None = None
        try:
            assert server.stderr is not None
            said = ""
            while "ready to accept connections" not in said:
                said = server.stderr.readline()
                assert said, "PostgreSQL ended at once"
            reader = threading.Thread(target=server.stderr.read)  # it must never wait for one
            reader.start()
            where = f"host=127.0.0.1 port={port} dbname=postgres user={USER} password={PASSWORD}"
            with psycopg.connect(where, autocommit=True) as connection:
                connection.execute("CREATE DATABASE tests")
            yield Server(port)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            if reader is not None:
                reader.join()
            if server.stderr is not None:
                server.stderr.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """Return the folder of the server's programs; as root on Debian they are installed where they are missing."""
    if not any(_PROGRAMS.glob("*/bin/postgres")):
        have({"/usr/bin/pg_createcluster": "postgresql-common"})
        with _SETTINGS.open("a") as file:
            file.write("create_main_cluster = false\n")  # else the package starts a server of its own
        have({f"{_PROGRAMS}/bin": "postgresql"})
    return max(_PROGRAMS.glob("*/bin/postgres")).parent


def _as_servers_user() -> list[str]:
    return [] if os.geteuid() else ["setpriv", f"--reuid={_SERVERS_USER}", f"--regid={_SERVERS_USER}", "--clear-groups"]
