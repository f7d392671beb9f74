"""Read compressed text files, which are detected by their first bytes and not by their names.

Compressed data can only be read from the start, so such a file is never cut.
"""

from __future__ import annotations

import io
from typing import BinaryIO

GZIP, BZIP2, XZ, ZIP = "gzip", "bzip2", "xz", "zip"
HEAD = 10  # bytes that identify a method
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
_SMALL = 256 << 20  # bytes of text that any file may contain
_RATIO = 100  # the largest expansion beyond _SMALL


def method_of(head: bytes) -> str:
    """Return the compression method of a file by its first `HEAD` bytes, or ""."""
    if head.startswith(b"BZh") and head[4:10] == _BLOCK:
        return BZIP2
    return next((method for magic, method in _MAGIC if head.startswith(magic)), "")


def expand(file: BinaryIO, method: str) -> BinaryIO:
    """Decompress a file into memory; return it.

    Errors of the method's library for a damaged file are raised unchanged.

    Raises:
        ValueError: The method is not supported, or the text exceeds both 256 MiB and 100 times the file's size.
    """
    limit = max(_SMALL, _RATIO * file.seek(0, io.SEEK_END))
    file.seek(0)
    found = io.BytesIO()
    with opened(file, method) as source:
        part = source.read(_PART)
        while part:
            if found.tell() + len(part) > limit:
                text = "it is compressed with {} and has more than {} bytes of text; decompress it before the run"
                raise ValueError(text.format(method, limit))
            found.write(part)
            part = source.read(_PART)
    found.seek(0)
    return found


def opened(file: BinaryIO, method: str) -> BinaryIO:
    """Return a reader of the text of a compressed file. Raises ValueError for an unsupported method."""
    try:
        if method == GZIP:
            import gzip  # late imports: few files are compressed, and some Python builds lack a library

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
    text = "it is compressed with {}, which this Python cannot read; compress it with gzip, or decompress it"
    raise ValueError(text.format(method))


def _only_member(file: BinaryIO) -> BinaryIO:
    import zipfile

    archive = zipfile.ZipFile(file)
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if len(names) != 1:
        raise ValueError("it is a zip archive of {} files and must have exactly one; unpack it".format(len(names)))
    if archive.getinfo(names[0]).flag_bits & 1:
        raise ValueError("it is a zip archive with a password; unpack it")
    return archive.open(names[0])  # type: ignore[return-value]
