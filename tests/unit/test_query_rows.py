"""Rows of a query: cut by a column, brought as plain values, read as a table. In SQLite; for others, compiled."""

import datetime
import io
import json
import math
import os
import pickle
import time
from collections import Counter
from decimal import Decimal
from uuid import UUID

import jobs
import pandas
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mssql, postgresql

from longshore_agent import query_rows as agents
from longshore_coordinator.enumerate import InputError, cut, sql
from longshore_host import query_rows, tabular
from longshore_protocol.job import Input, MiniBatchSize, TabularFormat
from longshore_protocol.slices import coded, decoded
from longshore_storage import databases, queries
from longshore_storage.databases import Database, open_database
from longshore_storage.errors import DatabaseError

URL = "sqlite://"


def table(query="SELECT * FROM t", split_by="k", **more):
    return TabularFormat("sql", query=query, split_by=split_by, database="sales", **more)


@pytest.fixture
def engine():
    """A database in memory, with one connection."""
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
    yield engine
    engine.dispose()


def fill(engine, keys):
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS t")
        connection.exec_driver_sql("CREATE TABLE t (k, n INTEGER)")
        for number, key in enumerate(keys):
            connection.exec_driver_sql("INSERT INTO t VALUES (?, ?)", (key, number))


def pieces(engine, rows, format=None):
    return list(sql.pieces(Database(engine, URL), URL, format or table(), MiniBatchSize("rows", rows)))


def rows_of(engine, piece, given=None):
    """Return the rows of a piece as the agent asks for them, once the piece has travelled."""
    given = given or table()
    keys = json.loads(json.dumps(piece))["keys"]
    bounds = keys and [decoded(each) for each in keys]
    with Database(engine, URL).session() as connection:
        return [tuple(row) for row in connection.execute(queries.part(given.query, given.split_by, bounds))]


# --- cutting ---------------------------------------------------------------------------------------------------------


def test_rows_are_cut_between_keys_and_those_without_one_are_apart(engine):
    fill(engine, [5, None, 3, 1, 4, 2, None])
    found = pieces(engine, 2)
    assert [(items, piece["keys"]) for items, piece in found] == [
        (2, [None, 3]),
        (2, [3, 5]),
        (1, [5, None]),
        (2, []),
    ]
    assert {piece["path"] for _, piece in found} == {URL}
    assert rows_of(engine, found[1][1]) == [(3, 2), (4, 4)]


KEYS = st.lists(st.none() | st.integers(-5, 30), max_size=60) | st.lists(st.none() | st.text("abcé'%:", max_size=2))


@given(KEYS, st.integers(1, 9))
def test_each_row_is_in_one_piece_and_rows_of_one_key_stay_together(keys, size):
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
    try:
        fill(engine, keys)
        found = pieces(engine, size)
        read = [rows_of(engine, piece) for _, piece in found]
    finally:
        engine.dispose()
    assert [items for items, _ in found] == [len(rows) for rows in read]
    assert sorted(number for rows in read for _, number in rows) == list(range(len(keys)))
    seen = Counter(key for rows in read for key in {key for key, _ in rows})
    assert set(seen.values()) <= {1}
    often = max(Counter(key for key in keys if key is not None).values(), default=0)
    assert all(len(rows) < 2 * size + often for rows in read if rows[0][0] is not None)


def test_what_is_written_after_the_cut_is_in_one_piece_too(engine):
    fill(engine, [10, 20, 30])
    found = pieces(engine, 1)
    fill(engine, [0, 10, 15, 20, 30, 99])
    assert [len(rows_of(engine, piece)) for _, piece in found] == [3, 1, 2]


def test_a_query_that_nothing_splits_is_one_piece_that_no_process_has_counted(engine):
    fill(engine, [1, 2])
    whole = table("WITH a AS (SELECT k FROM t) SELECT * FROM a ORDER BY k DESC; -- all", None)
    assert pieces(engine, 1, whole) == [(None, {"path": URL, "keys": None})]
    assert rows_of(engine, {"keys": None}, whole) == [(2,), (1,)]
    assert pieces(engine, 1, table("SELECT * FROM t WHERE k > 5", None)) == []


def test_nothing_in_a_query_is_a_parameter(engine):
    fill(engine, [1])
    odd = table(r"SELECT k, 'a:b ::c \:d %s %% %(e)s ?' AS text FROM t -- :f;")
    ((_, piece),) = pieces(engine, 1, odd)
    assert rows_of(engine, piece, odd) == [(1, r"a:b ::c \:d %s %% %(e)s ?")]


def test_a_key_of_a_type_that_cannot_be_written_down_is_reported():
    with pytest.raises(TypeError, match="values of type object are not supported as keys"):
        coded(object())


@pytest.mark.parametrize(
    "key",
    [
        True,
        -(2**70),
        "é'%:",
        0.1,
        -0.0,
        math.inf,
        Decimal("0.10"),
        b"\0\xff",
        datetime.date(1, 1, 1),
        datetime.time(1, 2, 3, 4),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
        UUID(int=5),
    ],
    ids=repr,
)
def test_a_key_travels_exactly(key):
    found = decoded(json.loads(json.dumps(coded(key))))
    assert (type(found), repr(found)) == (type(key), repr(key))


def test_what_a_database_states_of_a_query_is_one_line_without_the_query(engine):
    with pytest.raises(DatabaseError, match=r'^database "sqlite://" reported: no such table: t$'):
        pieces(engine, 1)


# --- where a database is, and who logs in -----------------------------------------------------------------------------


def job(url, **more):
    return jobs.job(Input("orders", (url,), "direct", table(**more)), unit="rows", size=5)


@pytest.mark.parametrize("url", ["sqlite:///etc/passwd", "mysql://host/db", "nonsense"])
def test_no_other_url_is_taken_for_a_database(url):
    with pytest.raises(InputError, match=r'Input "orders" cannot be cut into mini-batches: .* is not a database URL'):
        list(cut(job(url)))


@pytest.mark.parametrize(
    ("variables", "login"),
    [
        ({}, {}),
        ({"LONGSHORE_SQL_USER": "u", "LONGSHORE_SQL_PASSWORD": "p"}, {"user": "u", "password": "p"}),
        ({"LONGSHORE_SQL_PASSWORD": "p", "LONGSHORE_SQL_SALES_2_PASSWORD": "own"}, {"password": "own"}),
    ],
)
def test_a_datastores_own_variables_come_before_those_of_all(monkeypatch, variables, login):
    for name in [each for each in os.environ if each.startswith("LONGSHORE_SQL_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    _, arguments = databases._arguments("postgresql", "sales-2")
    assert {key: arguments[key] for key in ("user", "password") if key in arguments} == login


def test_azure_sql_is_asked_encrypted_and_for_reading(monkeypatch):
    monkeypatch.setenv("LONGSHORE_SQL_PASSWORD", "p")
    driver, arguments = databases._arguments("mssql", "sales")
    assert driver == "mssql+pymssql"
    assert (arguments["encryption"], arguments["read_only"], arguments["password"]) == ("require", True, "p")
    database = open_database("mssql://server.database.windows.net:1433/sales", name="sales")
    parts = database._engine.dialect.create_connect_args(database._engine.url)[1]
    assert parts == {"host": "server.database.windows.net:1433", "database": "sales"}
    assert "p@" not in repr(database._engine)


def test_a_password_in_what_a_library_states_is_blotted_out(monkeypatch):
    monkeypatch.setenv("LONGSHORE_SQL_SALES_PASSWORD", "pa ss")
    error = sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("no login with pa ss\nLINE 1: SELECT"))
    told = Database(sqlalchemy.create_engine("sqlite://"), URL)._database_error(error)
    assert str(told) == 'database "sqlite://" reported: no login with ***'
    assert not told.is_final


@pytest.mark.parametrize(
    ("said", "is_final"),
    [
        ('connection failed: FATAL: password authentication failed for user "u"', True),
        ('connection failed: FATAL: database "sales" does not exist', True),
        ("Login failed for user 'u'", True),
        ("connection failed: Connection refused", False),
        ("connection failed: FATAL: the database system is starting up", False),
    ],
)
def test_a_login_that_is_refused_is_not_tried_again(said, is_final):
    error = sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception(said))
    assert Database(sqlalchemy.create_engine("sqlite://"), URL)._database_error(error).is_final is is_final


def test_a_database_that_is_not_there_yet_is_asked_again(monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with pytest.raises(InputError, match="Connection refused"):
        list(cut(job("postgresql://127.0.0.1:1/sales")))
    assert len(pauses) == 3


def test_what_an_sql_server_states_is_read_out_of_its_librarys_words():
    of_library = b"DB-Lib error message 20018, severity 16:\nGeneral SQL Server error\n"
    said = databases._message_of(Exception((208, b"Invalid object name 'nope'." + of_library * 2)))
    assert said == "Invalid object name 'nope'"
    with (
        pytest.raises(
            DatabaseError, match=r'1/sales" reported: Unable to connect: .* Connection refused \(111\)$'
        ) as caught,
        open_database("mssql://127.0.0.1:1/sales", name="sales").session(),
    ):
        pass
    assert not caught.value.is_final


# --- other databases' SQL ---------------------------------------------------------------------------------------------


def compiled(statement, dialect):
    return " ".join(str(statement.compile(dialect=dialect)).split())


def test_azure_sql_is_asked_in_its_own_words():
    dialect = mssql.pymssql.dialect(paramstyle="pyformat")
    query = "SELECT [order], k FROM t WHERE note LIKE '%a%'"
    inner = f"({query} ) AS longshore_rows"
    assert compiled(queries.counts(query, "order"), dialect) == (
        f"SELECT count(*) AS count_1, count([order]) AS count_2 FROM {inner}"
    )
    numbered = compiled(queries.boundaries(query, "order", rows=7), dialect)
    assert "row_number() OVER (ORDER BY [order]) AS longshore_number" in numbered
    assert "rank() OVER (ORDER BY [order]) AS longshore_first" in numbered
    assert numbered.endswith("% %(param_1)s = %(param_2)s ORDER BY longshore_keys.longshore_number")
    assert compiled(queries.part(query, "order", [1, 5]), dialect) == (
        f"SELECT * FROM {inner} WHERE [order] >= %(param_1)s AND [order] < %(param_2)s AND [order] IS NOT NULL "
        "ORDER BY [order]"
    )
    assert compiled(queries.part(query, "order", []), dialect) == f"SELECT * FROM {inner} WHERE [order] IS NULL"
    assert compiled(queries.part(query, None, None), dialect) == query


def test_postgresql_is_sent_keys_without_a_cast():
    found = compiled(
        queries.part("SELECT * FROM t", "Key", ["a", None]), postgresql.psycopg.dialect(paramstyle="pyformat")
    )
    assert found.endswith('WHERE "Key" >= %(param_1)s AND "Key" IS NOT NULL ORDER BY "Key"')


# --- values -----------------------------------------------------------------------------------------------------------


class Odd:
    """A type that only this Python knows."""

    def __str__(self):
        return "odd"


def test_values_become_such_as_every_python_reads():
    berlin = datetime.timezone(datetime.timedelta(hours=2), "Berlin")
    given = [1, "a", None, Decimal(1), memoryview(b"x"), Odd(), {"a": [Odd(), (1,)]}]
    assert [*map(agents.plain, given)] == [1, "a", None, Decimal(1), b"x", "odd", {"a": ["odd", [1]]}]
    moment = agents.plain(datetime.datetime(2026, 1, 1, 2, tzinfo=berlin))
    assert repr(moment) == repr(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    naive = datetime.datetime(2026, 1, 1)
    assert agents.plain(naive) is naive


def frame_of(tmp_path, columns, *lots, **types):
    file = io.BytesIO()
    for each in (columns, *lots):
        pickle.dump(each, file, 4)
    path = tmp_path / "rows"
    path.write_bytes(file.getvalue())
    piece = {"path": str(path), "keys": None, "copy_of": {"path": "postgresql://db/sales", "keys": None}}
    return tabular.load(piece, table(column_types=types))


def test_types_are_those_of_the_database(tmp_path):
    utc = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    first = (1, 0.5, "a", Decimal("1.50"), utc.replace(tzinfo=None), utc, utc.date(), True, None, b"x")
    lots = [first], [(None, None, None, None, None, None, None, True, None, None)]
    frame = frame_of(tmp_path, list("abcdefghij"), *lots)
    kinds = [str(each) for each in frame.dtypes]
    assert kinds[:2] == ["float64", "float64"]
    assert [each.partition("[")[0] for each in kinds[4:6]] == ["datetime64", "datetime64"]
    assert frame["f"].dt.tz is not None
    assert (kinds[3], kinds[6], kinds[7], kinds[9]) == ("object", "object", "bool", "object")
    assert frame["d"][0] == Decimal("1.50")
    assert (type(frame["g"][0]), frame["j"][0]) == (datetime.date, b"x")


def test_a_large_integer_among_nulls_stays_the_number_that_it_is(tmp_path):
    lot = [(2**53 + 1, 2**53 + 1, 1), (None, None, None)]
    frame = frame_of(tmp_path, ["a", "b", "c"], lot, b="Int64")
    assert (frame["a"][0], frame["b"][0]) == (2**53 + 1, 2**53 + 1)
    assert (str(frame["b"].dtype), str(frame["c"].dtype)) == ("Int64", "float64")


def test_columns_of_one_name_are_distinguished_and_a_table_without_rows_has_its_columns(tmp_path):
    assert list(frame_of(tmp_path, ["a", "a", "a.1", "a"], [(1, 2, 3, 4)]).columns) == ["a", "a.2", "a.1", "a.3"]
    assert list(frame_of(tmp_path, ["a", "b"]).columns) == ["a", "b"]
    assert isinstance(query_rows.read(str(tmp_path / "rows"), {}), pandas.DataFrame)


def test_values_that_are_not_of_the_wanted_type_are_reported_with_the_database(tmp_path):
    wanted = 'The file "postgresql://db/sales" could not be read as sql: row 0, counted from its first row, has "x"'
    with pytest.raises(tabular.SliceError, match=wanted):
        frame_of(tmp_path, ["a"], [("x",)], a="int64")
