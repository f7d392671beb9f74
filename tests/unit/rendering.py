"""Results of run() as rows of a format."""

import collections
import io

import pandas as pd
import pyarrow.parquet as pq

from longshore_host.rows import Renderer
from longshore_protocol.job import APPEND_ROW, Output

Point = collections.namedtuple("Point", "x y")  # noqa: PYI024  (scripts return such)
FRAME = pd.DataFrame({"name": ["a", "b c"], "score": [0.5, 2]}, index=[7, 8])


def renderer(format="text", settings=None, **options):
    return Renderer(Output(action=APPEND_ROW, uri="/out", format=format, **options), settings)


def lines(result, format="text", settings=None, **options):
    return renderer(format, settings, **options).render(result).data.decode()


def tables(result):
    return pq.read_table(io.BytesIO(renderer("parquet").render(result).data))
