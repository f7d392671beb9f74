"""Rows of a PostgreSQL database: each is scored once, whatever is killed, and nobody sees the password."""

import os
import signal
from pathlib import Path

import pytest

ROWS = 100_000
DATASET = {"format": "sql", "datastore": "sales", "query": "SELECT * FROM orders", "splitBy": "customer"}
TABLE = """
CREATE TABLE orders AS SELECT
    i AS number,
    CASE WHEN i % 100 = 0 THEN NULL ELSE i / 3 END AS customer,
    (i / 7.0)::numeric(12, 4) AS price,
    date '2026-01-01' + i % 365 AS day,
    CASE WHEN i % 11 = 0 THEN NULL ELSE timestamptz '2026-01-01 00:00:00+02' + i * interval '1 second' END AS at,
    E'line 1\\n"line" 2 of ' || i || ', 100% :sure' AS note
FROM generate_series(1, 100000) AS i
"""
SCRIPT = """
import os
import pandas

def run(mini_batch):
    assert not [each for each in os.environ if "SQL" in each]
    assert isinstance(mini_batch, pandas.DataFrame)
    assert mini_batch["customer"].isna().all() or mini_batch["customer"].is_monotonic_increasing
    name = "{}-{}".format(mini_batch["customer"].iloc[0], os.getpid())
    open(os.path.join(r"FOLDER", "seen", name), "w").close()
    while not os.path.exists(os.path.join(r"FOLDER", "go")):
        pass
    return [
        "{} {} {} {} {}".format(row.number, row.price, row.day, str(row.at)[:19], row.note.replace("\\n", "|"))
        for row in mini_batch.itertuples()
    ]
"""
AS_ROWS = """
SELECT number || ' ' || price || ' ' || day || ' ' || coalesce(left((at at time zone 'UTC')::text, 19), 'NaT') || ' '
       || replace(note, E'\\n', '|') FROM orders
"""


@pytest.fixture(scope="session")
def orders(postgres):
    """The server, with its table of orders."""
    postgres.execute(TABLE)
    return postgres


@pytest.fixture
def bench(longshore, orders):
    """Return a function that writes the documents of a step over a query, and the script with its open gate."""
    longshore.write("code/script.py", SCRIPT.replace("FOLDER", str(longshore.folder)))
    (longshore.folder / "seen").mkdir()
    longshore.write("go", "")

    def write(data=DATASET, /, *, uri=orders.uri, **spec):
        fields = {
            "inputs": [{"name": "orders", "dataset": "orders"}],
            "source": {"uri": "code"},
            "nodeCount": 2,
            "miniBatchSize": None,
            **spec,
        }
        longshore.manifest(
            longshore.document("Datastore", "sales", uri=uri),
            longshore.document("Dataset", "orders", tabular=data),
            longshore.step("script.py", **fields),
        )

    return write


def everything_that(folder, ended):
    """Return all that a run wrote or said."""
    files = [path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return b"\n".join([ended.stdout.encode(), ended.stderr.encode(), *files])


def test_each_row_is_scored_once_and_the_password_is_nowhere(longshore, orders, bench):
    bench()
    ended = longshore.run()
    assert ended.reason == "Succeeded"
    assert ended.mini_batches == {"total": 11, "scheduled": 11, "succeeded": 11}
    assert ended.items == {"total": ROWS, "succeeded": ROWS}
    assert sorted(ended.rows) == sorted(orders.column(AS_ROWS))
    assert orders.password.encode() not in everything_that(longshore.run_dir, ended)


def test_an_agent_that_is_killed_while_rows_are_scored_costs_none_of_them(longshore, orders, bench, monkeypatch):
    for ours, theirs in (("LONGSHORE_SQL_USER", "PGUSER"), ("LONGSHORE_SQL_PASSWORD", "PGPASSWORD")):
        monkeypatch.setenv(theirs, os.environ[ours])  # PostgreSQL's own names will do
        monkeypatch.delenv(ours)
    (longshore.folder / "go").unlink()
    bench(miniBatch={"rows": 2_000})
    command = longshore.start()
    longshore.wait_until(lambda: len(os.listdir(longshore.folder / "seen")) == 2)
    agents = longshore.processes("longshore_agent")
    assert len(agents) == 2
    os.kill(agents[0], signal.SIGKILL)
    orders.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'longshore'")
    longshore.write("go", "")
    ended = command.wait()
    assert ended.reason == "Succeeded"
    assert sorted(ended.rows) == sorted(orders.column(AS_ROWS))


def test_a_connection_that_is_cut_while_rows_come_costs_no_try(longshore, orders, bench):
    killed = "SELECT sessions_killed FROM pg_stat_database WHERE datname = current_database()"
    orders.execute(f"""
        CREATE FUNCTION dies_once(before bigint) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN
            IF ({killed}) = before THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
                PERFORM pg_sleep(60);
            END IF;
            RETURN 1;
        END $$
    """)
    (before,) = orders.column(killed)
    query = (
        f"SELECT number, number AS customer, price, day, at, note, dies_once({before}) FROM orders WHERE number <= 600"
    )
    bench({**DATASET, "query": query}, runMaxTry=1)
    ended = longshore.run()
    assert (ended.reason, ended.items) == ("Succeeded", {"total": 600, "succeeded": 600})
    assert orders.column(killed) > [before]


def test_a_resumed_run_has_the_same_mini_batches(longshore, bench):
    bench(errorThreshold=0, runMaxTry=1)
    script = longshore.folder / "code" / "script.py"
    script.write_text(
        script.read_text().replace("    return", "    assert mini_batch['number'].iloc[0] < 50_000\n    return")
    )
    assert longshore.run().reason == "ErrorThresholdExceeded"
    longshore.write("code/script.py", SCRIPT.replace("FOLDER", str(longshore.folder)))
    ended = longshore.resume("--accept-changed-code")
    assert (ended.reason, ended.items) == ("Succeeded", {"total": ROWS, "succeeded": ROWS})


def test_a_query_that_nothing_splits_is_one_mini_batch_with_the_types_of_the_database(longshore, bench):
    script = "def run(mini_batch):\n    return [type(v).__name__ + ' ' + str(v) for v in mini_batch.iloc[0]]\n"
    longshore.write("code/script.py", script)
    query = """
        WITH a AS (SELECT 1 AS x, 2 AS x, 0.10::numeric AS price, NULL AS nothing, 9007199254740993 AS large)
        SELECT *, true AS yes, date '2026-02-03' AS day, E'a\\tb' AS note FROM a -- as it stands
    """
    bench({"format": "sql", "datastore": "sales", "query": query, "columnTypes": {"x": "float32"}})
    ended = longshore.run()
    assert ended.mini_batches == {"total": 1, "scheduled": 1, "succeeded": 1}
    numbers = ["float32 1.0", "int64 2", "Decimal 0.10", "NoneType None", "int64 9007199254740993"]
    assert ended.rows == [*numbers, "bool True", "date 2026-02-03", "str a\tb"]


def test_the_plan_is_explained_without_a_run(longshore, bench):
    bench()
    explained = longshore.start("--explain", json=False).wait()
    assert "(sql rows, 11 mini-batches)" in explained.stdout
    assert "smallest 1000, median 10000, largest 10000 rows" in explained.stdout


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"query": "SELECT * FROM order_s"}, 'reported: relation "order_s" does not exist.'),
        ({"splitBy": "Customer"}, 'reported: column "Customer" does not exist.'),
        ({"splitBy": "span", "query": "SELECT int4range(1, 5) AS span"}, 'cannot be split by "span"'),
        ({"query": "DELETE FROM orders RETURNING *"}, "reported: syntax error at or near"),
        ({"query": "SELECT * FROM orders WHERE number < 0"}, 'Input "orders" has no rows: its query returns none.'),
    ],
)
def test_what_is_wrong_with_a_query_is_one_sentence(longshore, bench, data, sentence):
    bench({**DATASET, **data})
    ended = longshore.run()
    assert ended.reason in ("InputError", "EmptyInput")
    assert sentence in ended.succeeded["message"]
    assert "\n" not in ended.succeeded["message"]


def test_a_database_that_is_not_there_is_reported(longshore, bench):
    bench(uri="postgresql://127.0.0.1:1/tests", storageTimeoutSeconds=1)
    assert "Connection refused" in longshore.run().succeeded["message"]


def test_a_wrong_password_is_reported_and_not_shown(longshore, bench):
    wrong = "not-the-Password"
    longshore.variables = {"LONGSHORE_SQL_SALES_PASSWORD": wrong}  # of this Datastore: it comes before that of all
    bench()
    ended = longshore.run()
    assert ended.reason == "InputError"
    assert 'password authentication failed for user "longshore"' in ended.succeeded["message"]
    assert wrong.encode() not in everything_that(longshore.run_dir, ended)


def test_rows_that_cannot_be_read_fail_their_mini_batch_alone(longshore, orders, bench):
    bench({**DATASET, "query": "SELECT *, 1 / (number - 50000) AS share FROM orders"}, runMaxTry=1)
    ended = longshore.run()
    assert ended.mini_batches == {"total": 11, "scheduled": 11, "succeeded": 10, "failed": 1}
    (failed,) = ended.failed
    assert failed["category"] == "DataError"
    assert (
        failed["message"]
        == f'The rows of a mini-batch cannot be read: database "{orders.uri}" reported: division by zero.'
    )
