"""A data file as its reader wants it: unpacked bytes, UTF-8 text, and the digest that names its content."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from functools import lru_cache
from pathlib import Path


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in .gz. Raises ValueError if it is cut or not a gzip file."""
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise _not_whole(path, error) from error


def read_text(path: Path) -> str:
    """The content of a file as text. Raises ValueError with the byte that is not UTF-8."""
    return decode(read_bytes(path), str(path))


def decode(content: bytes, source: str) -> str:
    """UTF-8 bytes as text; a byte order mark is left out."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: byte {error.start} is not UTF-8 ({error.reason})") from error


def sha256(content: bytes) -> str:
    """The digest by which a file is known, whether or not it is packed."""
    return hashlib.sha256(content).hexdigest()


def digest_of(path: Path) -> str:
    """`sha256` of what `read_bytes` would return, without holding it: a file may have a gigabyte.

    A file is read once in a process, and again if it was replaced. Raises ValueError as `read_bytes` does.
    """
    found = path.stat()
    return _digest_of(path, (found.st_mtime_ns, found.st_size, found.st_ino))


@lru_cache(maxsize=256)
def _digest_of(path: Path, stamp: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        if path.suffix != ".gz":
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        try:
            with gzip.open(file) as unpacked:
                while piece := unpacked.read(2**20):
                    digest.update(piece)
        except (OSError, EOFError, zlib.error) as error:
            raise _not_whole(path, error) from error
        return digest.hexdigest()


def _not_whole(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: not a whole gzip file ({error}); get it again")
