"""Compressed text files: known by their first bytes, whatever their names are, and read as the text that they hold.

Nothing in them can be read before what stands in front of it, so such a file is never cut.
"""

from __future__ import annotations

import io
from typing import BinaryIO

GZIP, BZIP2, XZ, ZIP = "gzip", "bzip2", "xz", "zip"
HEAD = 10  # bytes that tell a method
_MAGIC = (
    (b"\x1f\x8b\x08", GZIP),
    (b"\xfd7zXZ\x00", XZ),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),  # an empty one
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"\x1f\x9d", "compress"),
)
_BLOCK = b"1AY&SY"  # behind the four bytes of a bzip2 file
_PART = 1 << 20  # bytes
_SMALL = 256 << 20  # bytes of text that any file may hold
_RATIO = 100  # times its size that a larger one may


def method_of(head: bytes) -> str:
    """Return what the file that begins with the `HEAD` bytes is compressed with; "" for none that is known."""
    if head.startswith(b"BZh") and head[4:10] == _BLOCK:
        return BZIP2
    return next((method for magic, method in _MAGIC if head.startswith(magic)), "")


def expand(file: BinaryIO, method: str) -> BinaryIO:
    """Return the text of a compressed file, in memory.

    Raises ValueError for a method that cannot be read, and for a file that holds more than 256 MiB and than 100 times
    its size; what the library of the method raises for a damaged one.
    """
    limit = max(_SMALL, _RATIO * file.seek(0, io.SEEK_END))
    file.seek(0)
    found = io.BytesIO()
    with opened(file, method) as source:
        part = source.read(_PART)
        while part:
            if found.tell() + len(part) > limit:
                text = "it is compressed with {} and holds more than {} bytes of text: decompress it before the run"
                raise ValueError(text.format(method, limit))
            found.write(part)
            part = source.read(_PART)
    found.seek(0)
    return found


def opened(file: BinaryIO, method: str) -> BinaryIO:
    """Return the text of a compressed file, to be read from its begin on. Raises ValueError as `expand` does."""
    try:
        if method == GZIP:
            import gzip  # late, all of them: few files are compressed, and a Python may lack a library

            return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
        if method == BZIP2:
            import bz2

            return bz2.BZ2File(file)  # type: ignore[return-value]
        if method == XZ:
            import lzma

            return lzma.LZMAFile(file)  # type: ignore[return-value]
        if method == ZIP:
            return _only_member(file)
    except ImportError:
        pass
    text = "it is compressed with {}, which this Python cannot read: compress it with gzip, or decompress it"
    raise ValueError(text.format(method))


def _only_member(file: BinaryIO) -> BinaryIO:
    import zipfile

    archive = zipfile.ZipFile(file)
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise ValueError("it is a zip archive of {} files, and must hold one: unpack it".format(len(names)))
    if archive.getinfo(names[0]).flag_bits & 1:
        raise ValueError("it is a zip archive with a password: unpack it")
    return archive.open(names[0])  # type: ignore[return-value]
