"""Files that change between plan and download: what was planned is what is read."""

import asyncio

import fsspec
import pytest
from stager_bench import CSV, Outcomes, after, lease, parquet_bytes, piece_of, remote, remote_pieces

from longshore_agent import fetching, stager
from longshore_agent.stager import Stager
from longshore_coordinator.enumerate import parquet
from longshore_host import tabular
from longshore_protocol import errors
from longshore_protocol.job import Input, MiniBatchSize, TabularFormat
from longshore_storage import files

CSV_ROWS = b"a,b\n" + b"1,2\n" * 9


@pytest.mark.parametrize(
    "rows",
    [(CSV_ROWS, CSV, 8), (CSV_ROWS, CSV, 100), (b'{"a": 1}\n' * 9, TabularFormat("jsonl"), 20),
     (CSV_ROWS.decode().encode("utf-16"), TabularFormat("csv", encoding="utf-16"), 8),
     (parquet_bytes(9), TabularFormat("parquet"), 10**6)],
    ids=["csv in part", "csv whole", "jsonl", "csv in UTF-16", "parquet"],
)  # fmt: skip
@pytest.mark.parametrize("moment", ["before it is copied", "while it is copied"])
def test_a_file_of_another_version_than_planned_is_not_downloaded(staging, monkeypatch, rows, moment):
    content, table, size = rows
    url, pieces = remote_pieces(content, table, size)
    fs = fsspec.filesystem("memory")

    def change():
        fs.pipe_file(url, content + content[-9:])

    async def body(made, outcomes):
        if moment == "before it is copied":
            change()
        else:
            monkeypatch.setattr(fetching, "_check_again", after(change, fetching._check_again))
            monkeypatch.setattr(files, "_stamp_now", after(change, files._stamp_now))
        made.add(lease(pieces[0]))
        _, said = await outcomes.next()
        assert said is not None
        category, text = said
        changed = f"it changed since the run was planned: it had {len(content)} bytes and has {len(content) + 9}"
        assert category == errors.DATA_ERROR
        assert text.startswith(f'The file "{url}" cannot be downloaded: ')
        assert changed in text or "it changed while it was copied" in text

    monkeypatch.setattr(stager.retrying, "pause", lambda *_: 0.0)
    staging(body, table)


@pytest.mark.parametrize("table", [CSV, TabularFormat("jsonl"), TabularFormat("parquet")])
def test_a_download_of_another_size_than_planned_is_not_read(tmp_path, table):
    url, copy = remote(b"whatever"), tmp_path / "copy"
    copy.write_bytes(b"what")
    piece = {"path": url, "stamp": "8 None", "start": 0, "end": 8, "row_groups": [0, 1], "rows": None}

    async def main():
        outcomes = Outcomes()
        given = [Input("given", ("memory://given",), tabular=table)]
        made = Stager(given, str(tmp_path / "inputs"), callbacks=outcomes, copies={url: str(copy)})
        made.add(lease(piece))
        made.add(lease({**piece, "stamp": "4 None"}, number=1))
        found = {}
        for _ in range(2):
            each, said = await outcomes.next()
            found[each.grant.mini_batch] = piece_of(each)["path"] if said is None else said
        await made.close()
        return found

    found = asyncio.run(main())
    assert found[1] == str(copy)
    assert found[0][0] == errors.DATA_ERROR
    assert "its copy on this worker has 4 bytes, and it had 8 when the run was planned" in found[0][1]


def test_a_kept_copy_is_of_the_version_that_its_mini_batch_was_planned_of(staging):
    table = TabularFormat("parquet")
    url, [piece] = remote_pieces(parquet_bytes(2), table, 10**6)

    async def body(made, outcomes):
        made.add(lease(piece))
        brought, said = await outcomes.next()
        assert said is None
        fsspec.filesystem("memory").pipe_file(url, parquet_bytes(200))
        [later] = [each.piece for each in parquet.pieces(url, table, MiniBatchSize("bytes", 10**6))]
        made.add(lease(later, number=1))
        again, said = await outcomes.next()
        assert said is None
        assert [len(tabular.load(piece_of(each), table)) for each in (brought, again)] == [2, 200]

    staging(body, table)
