"""How inputs are cut by partition keys, and small files put together."""

import json
from dataclasses import replace
from datetime import datetime

import pandas
import pytest
from enumerated import CSV, LINES, PARQUET, groups, job, rows, write

from longshore_coordinator.enumerate import InputError, cut
from longshore_host.tabular import SliceError, load
from longshore_protocol import slices
from longshore_protocol.job import Input, TabularFormat


def test_files_are_grouped_by_the_combinations_that_exist(tmp_path):
    for name in ("amy/winter/rock", "amy/winter/jazz", "bob/summer/rock", "amy/summer/rock", "bob/winter/jazz"):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    files = Input("songs", (str(tmp_path),), partition_format="{user}/{season}/{genre}.wav")
    found = [(each.items, json.loads(each.payload)) for each in cut(job(files, keys=("user", "genre")))]
    assert [(items, piece["partition"]) for items, piece in found] == [
        (2, {"user": "amy", "genre": "rock"}),
        (1, {"user": "amy", "genre": "jazz"}),
        (1, {"user": "bob", "genre": "rock"}),
        (1, {"user": "bob", "genre": "jazz"}),
    ]
    assert found[0][1]["files"] == [f"{tmp_path}/amy/summer/rock.wav", f"{tmp_path}/amy/winter/rock.wav"]
    assert slices.first_path(found[1][1]) == f"{tmp_path}/amy/winter/jazz.wav"


def test_groups_do_not_reach_over_inputs(tmp_path):
    write(tmp_path, a__x="1", b__x="2")
    inputs = [Input(name, (str(tmp_path / name),), partition_format="{name}") for name in "ab"]
    assert [(each.input, each.items) for each in cut(job(*inputs, keys=("name",)))] == [(0, 1), (1, 1)]


def test_a_path_of_another_form_is_reported(tmp_path):
    write(tmp_path, a__x="1")
    files = Input("songs", (str(tmp_path),), partition_format="{user}.wav")
    wanted = f'The path "{tmp_path}/a/x" of input "songs" does not match its partitionFormat "{{user}}.wav".'
    for given in (files, rows(tmp_path, form="{user}.wav")):
        with pytest.raises(InputError) as caught:
            list(cut(job(given, keys=("user",))))
        assert str(caught.value).replace('"rows"', '"songs"') == wanted


def test_times_in_paths_are_times(tmp_path):
    write(
        tmp_path, **{"2026/01/31/a.csv".replace("/", "__"): "n\n1\n", "2026/02/01/a.csv".replace("/", "__"): "n\n2\n"}
    )
    found = groups(job(rows(tmp_path, form="{day:yyyy/MM/dd}/a.csv"), keys=("day",)))
    assert [(key, table["n"]) for key, table in found] == [
        ({"day": datetime(2026, 1, 31)}, [1]),
        ({"day": datetime(2026, 2, 1)}, [2]),
    ]
    assert found[0][1]["day"] == [pandas.Timestamp(2026, 1, 31)]


def test_rows_are_grouped_by_columns_over_all_files(tmp_path):
    write(tmp_path, a="store,n\n1,1\n\n2,2\n1,3", b="store,n\n2,4\n01,5\n,6\n")
    assert groups(job(rows(tmp_path), keys=("store",))) == [
        ({"store": 1}, {"store": [1, 1, 1], "n": [1, 3, 5]}),
        ({"store": 2}, {"store": [2, 2], "n": [2, 4]}),
        ({"store": None}, {"store": [pytest.approx(float("nan"), nan_ok=True)], "n": [6]}),
    ]


def test_a_column_and_a_path_may_be_keys_together(tmp_path):
    write(tmp_path, **{"y=1__a": "b,n\nx,1\ny,2\n", "y=2__a": "b,n\nx,3\n"})
    found = groups(job(rows(tmp_path, form="y={year}/*"), keys=("b", "year")))
    assert [(key, table["n"]) for key, table in found] == [
        ({"b": "x", "year": "1"}, [1]),
        ({"b": "y", "year": "1"}, [2]),
        ({"b": "x", "year": "2"}, [3]),
    ]
    assert found[2][1]["year"] == ["2"]


def test_quoted_line_ends_and_separators_belong_to_their_row(tmp_path):
    (tmp_path / "a").write_bytes(b'\xef\xbb\xbfk,n\n"a\nb,",1\nc,2\n"a\nb,",3\n')
    quoted = TabularFormat("csv", multi_line=True)
    assert [(key["k"], table["n"]) for key, table in groups(job(rows(tmp_path, quoted), keys=("k",)))] == [
        ("a\nb,", [1, 3]),
        ("c", [2]),
    ]


@pytest.mark.parametrize(
    ("text", "format", "cause"),
    [
        ("a,b\n1,2\n", CSV, 'it has no column "k" of the partitionKeys; its columns are a, b.'),
        (
            "1,2\n",
            TabularFormat("csv", header=False),
            'it has no column "k" of the partitionKeys; its columns are Column1, Column2.',
        ),
        (
            '{"k": 1}\n{"k": [1]}\n',
            LINES,
            'the record at byte 9 has no keys: "k" is a list or an object; a key must be a single value.',
        ),
        ('{"k": 1}\n{"k', LINES, "the record at byte 9 has no keys: Unterminated string starting at"),
        (
            "k\n1\n",
            TabularFormat("csv", encoding="utf-16"),
            "partitionKeys are not supported for rows in utf-16; use UTF-8 or another superset of ASCII.",
        ),
        (
            "k\n1\nx\n",
            TabularFormat("csv", column_types={"k": "int64"}),
            'a partition key has "x", which is not int64.',
        ),
    ],
)
def test_rows_without_keys_are_reported_with_their_file(tmp_path, text, format, cause):
    write(tmp_path, a=text)
    with pytest.raises(InputError) as caught:
        list(cut(job(rows(tmp_path / "a", format), keys=("k",))))
    assert str(caught.value).startswith(f'The file "{tmp_path}/a" of input "rows" cannot be cut into mini-batches: ')
    assert cause in str(caught.value)


def test_small_files_are_put_together_up_to_the_size(tmp_path):
    for number, count in enumerate((1, 2, 3, 9, 1, 1)):
        (tmp_path / f"{number}.csv").write_text("n\n" + f"{number}\n" * count)
    found = [json.loads(each.payload) for each in cut(job(rows(tmp_path), value=14, coalesce=True))]
    assert [[slices.first_path(piece)[-5:] for piece in slices.pieces_of(each)] for each in found] == [
        ["0.csv", "1.csv"],
        ["2.csv"],
        ["3.csv"],
        ["3.csv", "4.csv", "5.csv"],
    ]
    assert load(found[0], CSV)["n"].to_list() == [0, 1, 1]
    counted = list(cut(job(rows(tmp_path), unit="rows", value=6, coalesce=True)))
    assert [each.items for each in counted] == [6, 6, 5]
    assert [len(load(json.loads(each.payload), CSV)) for each in counted] == [6, 6, 5]


def test_small_parquet_files_are_put_together(tmp_path):
    for number in range(3):
        pandas.DataFrame({"n": [number] * 4}).to_parquet(tmp_path / f"{number}.parquet")
    found = list(cut(job(rows(tmp_path, PARQUET), unit="rows", value=8, coalesce=True)))
    assert [each.items for each in found] == [8, 4]
    assert load(json.loads(found[0].payload), PARQUET)["n"].to_list() == [0] * 4 + [1] * 4


def test_columns_from_paths_come_last_and_have_the_types_that_are_given(tmp_path):
    write(tmp_path, **{"y=2026__a.csv": "n\n1\n"})
    typed = TabularFormat("csv", column_types={"year": "int64"})
    [each] = cut(job(rows(tmp_path, typed, form="y={year}/{name}.csv")))
    assert load(json.loads(each.payload), typed).to_dict("list") == {"n": [1], "year": [2026], "name": ["a"]}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_progress_is_noted_for_each_file_and_while_a_large_one_is_read(tmp_path, form):
    frame = pandas.DataFrame({"k": range(5000)})
    target = tmp_path / f"a.{form}"
    write_table = {
        "csv": lambda: frame.to_csv(target, index=False),
        "jsonl": lambda: frame.to_json(target, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(target),
    }
    write_table[form]()
    noted = []
    made = cut(job(rows(tmp_path, TabularFormat(form)), keys=("k",)), advance=lambda: noted.append(1))
    next(made)
    assert len(noted) >= 1 + 4


def test_hive_folders_are_columns_and_keys(tmp_path):
    folders = ("year=2024__country=a%2Fb", "year=2024__country=__HIVE_DEFAULT_PARTITION__", "year=2025__country=no")
    for number, folder in enumerate(folders):
        path = tmp_path / folder.replace("__c", "/c") / "part-0.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f"x\n{number}\n")
    found = groups(job(rows(tmp_path, form="hive"), keys=("year", "country")))
    assert found == [
        ({"year": "2024", "country": None}, {"x": [1], "year": ["2024"], "country": [None]}),
        ({"year": "2024", "country": "a/b"}, {"x": [0], "year": ["2024"], "country": ["a/b"]}),
        ({"year": "2025", "country": "no"}, {"x": [2], "year": ["2025"], "country": ["no"]}),
    ]
    typed = TabularFormat("csv", column_types={"year": "int64"})
    [(key, frame), _] = groups(job(rows(tmp_path, tabular=typed, form="hive"), keys=("year",)))
    assert (key, frame["year"]) == ({"year": 2024}, [2024, 2024])
    [payload] = [json.loads(each.payload) for each in cut(job(rows(tmp_path / "year=2025", form="hive")))]
    assert payload["columns"] == {"year": "2025", "country": "no"}


@pytest.mark.parametrize(
    ("names", "keys", "told"),
    [
        (
            ("a=1/x.csv", "b=1/x.csv"),
            (),
            'have different partitions: ".*/a=1/x.csv" has the partitions a, and ".*" has',
        ),
        (("a=1/b=2/x.csv", "a=1/x.csv"), (), "have different partitions"),
        (("a=1/x.csv", "x.csv"), (), 'does not match its partitionFormat "hive"'),
        (("a=1/a=2/x.csv",), (), 'does not match its partitionFormat "hive"'),
        (("a=1/x.csv",), ("c",), "cannot be cut into mini-batches: ValueError: .*c"),
    ],
)
def test_hive_folders_that_differ_end_the_listing(tmp_path, names, keys, told):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n1\n")
    with pytest.raises(InputError, match=told):
        list(cut(job(rows(tmp_path, form="hive"), keys=keys)))


def test_files_in_hive_folders_are_grouped_and_a_key_that_no_path_has_is_refused(tmp_path):
    (tmp_path / "k=a%20b").mkdir()
    (tmp_path / "k=a%20b/x.png").touch()
    given = Input("files", (str(tmp_path),), partition_format="hive")
    [payload] = [json.loads(each.payload) for each in cut(job(given, keys=("k",)))]
    assert payload["partition"] == {"k": "a b"}
    with pytest.raises(InputError, match='has no partition "year" of the partitionKeys; its partitions are k'):
        list(cut(job(given, keys=("year",))))


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_path_column_has_the_path_of_each_rows_file(tmp_path, form):
    for name in ("a", "b"):
        frame = pandas.DataFrame({"x": [1, 2]})
        path = tmp_path / f"k={name}" / f"rows.{form}"
        path.parent.mkdir()
        if form == "csv":
            frame.to_csv(path, index=False)
        elif form == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path)
    table = TabularFormat(form, path_column="Path")
    paths = [f"{tmp_path}/k={name}/rows.{form}" for name in ("a", "b")]
    found = [load(json.loads(each.payload), table) for each in cut(job(rows(tmp_path, table, "hive"), value=10**6))]
    assert [frame["Path"].tolist() for frame in found] == [[path] * 2 for path in paths]
    assert list(found[0].columns) == ["x", "k", "Path"]
    by_path = groups(job(rows(tmp_path, table), keys=("Path",)))
    assert [key for key, _ in by_path] == [{"Path": path} for path in paths]


@pytest.mark.parametrize("text", ["007", "1.10", "true", "1e3", "9" * 40])
def test_without_inference_all_columns_are_text_and_keys_too(tmp_path, text):
    write(tmp_path, rows=f"a,b,c\n{text},{text},1\n")
    table = TabularFormat("csv", infer_types=False, column_types={"c": "int64"})
    [(key, frame)] = groups(job(rows(tmp_path / "rows", table), keys=("a",)))
    assert key == {"a": text}
    assert frame == {"a": [text], "b": [text], "c": [1]}


@pytest.fixture
def parts(tmp_path):
    """Two parts of one table, of which the first has the header, and a blank file before them."""
    write(tmp_path, a="", b="id,x\n007,2\n008,3\n", c="009,4\n010,5\n011,6\n", d="\n")
    return tmp_path


ONE_HEADER = TabularFormat("csv", one_header=True, infer_types=False, path_column="Path")


@pytest.mark.parametrize(("unit", "value"), [("bytes", 1000), ("bytes", 7), ("rows", 2), ("rows", 1)])
@pytest.mark.parametrize("multi_line", [False, True])
@pytest.mark.parametrize("coalesce", [False, True])
def test_files_without_the_header_of_the_first_one_lose_no_row(parts, unit, value, multi_line, coalesce):
    table = replace(ONE_HEADER, multi_line=multi_line)
    made = job(rows(parts, table), unit=unit, value=value, coalesce=coalesce)
    frame = pandas.concat([load(json.loads(each.payload), table) for each in cut(made)])
    assert list(frame.columns) == ["id", "x", "Path"]
    assert frame["id"].tolist() == ["007", "008", "009", "010", "011"]
    assert frame["x"].tolist() == ["2", "3", "4", "5", "6"]
    assert frame["Path"].tolist() == [f"{parts}/{name}" for name in "bbccc"]


def test_files_without_the_header_of_the_first_one_have_its_keys(parts):
    found = groups(job(rows(parts, replace(ONE_HEADER, path_column=None)), keys=("id",)))
    assert [key["id"] for key, _ in found] == ["007", "008", "009", "010", "011"]
    assert [frame["x"] for _, frame in found] == [["2"], ["3"], ["4"], ["5"], ["6"]]
    by_path = groups(job(rows(parts, ONE_HEADER), keys=("Path",)))
    assert [frame["id"] for _, frame in by_path if frame.get("id")] == [["007", "008"], ["009", "010", "011"]]


def test_a_file_of_other_columns_than_the_first_one_fails_its_mini_batch(parts):
    write(parts, c="009,4,5\n")
    with pytest.raises(SliceError, match="has 3 fields"):
        [load(json.loads(each.payload), ONE_HEADER) for each in cut(job(rows(parts, ONE_HEADER)))]


def test_a_first_file_that_cannot_be_read_ends_the_listing(parts):
    (parts / "a").unlink()
    (parts / "a").symlink_to("gone")
    with pytest.raises(InputError, match=r'/a" of input "rows" cannot be cut into mini-batches: FileNotFoundError'):
        list(cut(job(rows(parts, ONE_HEADER))))


@pytest.mark.parametrize("header", ["id,x\r", '"id,x\n', "id\0,x\n"])
@pytest.mark.parametrize("keys", [(), ("id",)])
def test_a_first_header_that_cannot_be_read_names_no_columns_of_other_files(tmp_path, header, keys):
    (tmp_path / "a").write_bytes(f"{header}1,2\n".encode())
    write(tmp_path, b="3,4\n5,6\n")
    with pytest.raises(
        InputError, match=f'The file "{tmp_path}/a" of input "rows" cannot be cut .*: the record at byte 0'
    ):
        list(cut(job(rows(tmp_path, ONE_HEADER), keys=keys)))
