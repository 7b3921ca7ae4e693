"""A data file as its reader wants it: unpacked bytes, UTF-8 text, and the digest that names its content."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in .gz. Raises ValueError if it is cut or not a gzip file."""
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error}); get it again") from error


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
