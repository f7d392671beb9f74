"""The same rows in three formats give the same scores; what a csv may hold is read right, or told with its place."""

import io

import pandas
import pytest

SCORES = """
import numpy


def run(rows):
    rows["score"] = numpy.round(rows["x"] * 2 + rows["y"], 6)
    return rows[["id", "name", "score"]]
"""
ROWS = pandas.DataFrame(
    {
        "id": range(500),
        "x": [number / 7 for number in range(500)],
        "y": [None if number % 50 == 3 else number % 11 for number in range(500)],
        "name": [f'Å {number}, "{number % 9}"' + "\nnext" * (number % 40 == 1) for number in range(500)],
    }
)


@pytest.fixture
def scored(longshore):
    """Score files, given as bytes by name, of one format."""
    longshore.write("code/entry.py", SCORES)

    def run(format, /, size="2KB", **files):
        for name, content in files.items():
            longshore.write(f"data-{format}/{name}", content)
        tabular = {"paths": [f"data-{format}"], "format": format}
        if format == "csv":
            tabular["supportMultiLine"] = True
        step = longshore.step(
            "entry.py",
            source={"uri": "code"},
            inputs=[{"name": "rows", "tabular": tabular}],
            output={"name": "out", "format": "csv", "header": True},
            miniBatchSize=size,
            errorThreshold=0,
            runMaxTry=1,
        )
        longshore.manifest(step)
        longshore.run_dir = longshore.folder / f"run-{format}"
        return longshore.run("--run-dir", str(longshore.run_dir))

    return run


def written(format, rows):
    sink = io.BytesIO()
    if format == "csv":
        rows.to_csv(sink, index=False)
    elif format == "jsonl":
        rows.to_json(sink, orient="records", lines=True, double_precision=15, force_ascii=False)
    else:
        rows.to_parquet(sink, index=False, row_group_size=60)
    return sink.getvalue()


def test_csv_json_lines_and_parquet_of_the_same_rows_give_the_same_scores(scored):
    outputs = {}
    for kind in ("csv", "jsonl", "parquet"):
        ended = scored(kind, a=written(kind, ROWS[:300]), b=written(kind, ROWS[300:]))
        assert ended.code == 0, ended.first_error
        assert ended.mini_batches["total"] > 4
        outputs[kind] = ended.output
    expected = ROWS.assign(score=(ROWS["x"] * 2 + ROWS["y"]).round(6))[["id", "name", "score"]]
    assert outputs["csv"] == outputs["jsonl"] == outputs["parquet"] == expected.to_csv(index=False).encode()


HEADER = b"id,x,y,name\n"


@pytest.mark.parametrize(
    ("encoding", "files", "scores"),
    [
        ("utf-8", {"mark": b"\xef\xbb\xbf" + HEADER + b"1,1,1,a\n"}, ["1,a,3"]),
        ("utf-8", {"quoted": HEADER + b'1,1,1,"a\nb"\n2,1,1,"c ""d"""\n'}, ['1,"a', 'b",3', '2,"c ""d""",3']),
        ("latin-1", {"latin": HEADER + "1,1,1,Å\n".encode("latin-1")}, ["1,Å,3"]),
        ("utf-16", {"wide": "id,x,y,name\n1,1,1,Å\n".encode("utf-16")}, ["1,Å,3"]),
        ("utf-8", {"empty": b"", "rows": HEADER + b"1,1,1,a\n"}, ["1,a,3"]),
        ("utf-8", {"bare": HEADER, "rows": HEADER + b"1,1,1,a\n"}, ["1,a,3"]),
        ("utf-8", {"short": HEADER + b"1,1,1\n2,1,1,b\n"}, ["1,,3", "2,b,3"]),
        ("utf-8", {"windows": HEADER.replace(b"\n", b"\r\n") + b"1,1,1,a\r\n\r\n"}, ["1,a,3"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_csv_files_may_hold_is_read_right(longshore, encoding, files, scores):
    longshore.write("code/entry.py", SCORES)
    for name, content in files.items():
        longshore.write(f"data/{name}", content)
    tabular = {"paths": ["data"], "encoding": encoding, "supportMultiLine": True}
    step = longshore.step(
        "entry.py",
        source={"uri": "code"},
        inputs=[{"name": "rows", "tabular": tabular}],
        output={"name": "out", "format": "csv"},
        miniBatchSize="1KB",
        errorThreshold=0,
    )
    longshore.manifest(step)
    ended = longshore.run()
    assert ended.code == 0, ended.first_error
    assert ended.rows == scores


@pytest.mark.parametrize(
    ("format", "content", "said"),
    [
        ("csv", HEADER + b"1,1,1,a\n2,1,1,b,c\n", "as csv: the record at byte 20 has 5 fields, and the header has 4."),
        ("csv", HEADER + b"1,1,1,\xc5\n", "as csv: the record at byte 12 is not utf-8: byte 7 of it is 0xC5."),
        ("jsonl", b'{"id": 1}\n{"id": 2\n', "as jsonl: the record at byte 10 is not JSON: "),
        ("jsonl", b'{"id": 1}\n[2]\n', "as jsonl: the record at byte 10 is not a JSON object."),
    ],
)
def test_a_record_that_cannot_be_read_is_reported_with_file_and_byte(longshore, scored, format, content, said):
    ended = scored(format, rows=content)
    assert ended.code == 1
    assert ended.first_error["category"] == "DataError"
    place = f'The file "{longshore.folder}/data-{format}/rows" could not be read '
    assert ended.first_error["message"].startswith(place + said)


def test_a_file_that_is_no_parquet_fails_by_its_name(longshore, scored):
    ended = scored("parquet", rows=b"id,x\n1,2\n")
    assert ended.code == 1
    place = f'The file "{longshore.folder}/data-parquet/rows" could not be read as parquet: ArrowInvalid: '
    assert ended.first_error["message"].startswith(place)
