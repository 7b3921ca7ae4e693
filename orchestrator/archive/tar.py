"""The bytes of an archive: a tar file that is written in one way, and of which nothing else is read.

A reader knows from the manifest what comes next, and compares: a header of another name, size or kind, a content of
another digest, a byte too many or too few is refused. Nothing is read that was not announced, so that what is packed
cannot unpack to more than it says.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from orchestrator.archive import MANIFEST, VERSION, File, Manifest

BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_END = bytes(2 * BLOCK)
_LARGEST_MANIFEST = 64 << 20
LARGEST_FILE = 8**11 - 1
"""Bytes that a header has digits for."""
_PACKED = (".gz", ".tgz")
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a hard link", tarfile.DIRTYPE: "a folder",
    tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a pipe",
}  # fmt: skip


class Damaged(ValueError):
    """A file that is no archive, or not as `orchestrate export` wrote it."""


# -------------------------------------------------------------------------------------------------------------- writing


def header(name: str, n_bytes: int) -> bytes:
    """Raises ValueError for a name or a size that it has no room for."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = n_bytes, 0o644
    return entry.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def write(path: Path, target: IO[bytes], manifest: Manifest, content: Callable[[File], Iterable[bytes]]) -> None:
    """Write an archive that will be called `path`. Raises Damaged for a file that is not as it was when the manifest
    was made."""
    if path.suffix in _PACKED:
        # no name and no time in it: the same files make the same bytes
        with gzip.GzipFile("", "wb", 6, target, mtime=0) as packed:
            _write(packed, manifest, content)
    else:
        _write(target, manifest, content)


def _write(target: IO[bytes] | gzip.GzipFile, manifest: Manifest, content: Callable[[File], Iterable[bytes]]) -> None:
    first = (manifest.model_dump_json(indent=1) + "\n").encode()
    target.write(header(MANIFEST, len(first)) + first + _padding(len(first)))
    for file in manifest.files:
        target.write(header(file.path, file.bytes))
        digest, n_bytes = hashlib.sha256(), 0
        for chunk in content(file):
            target.write(chunk)
            digest.update(chunk)
            n_bytes += len(chunk)
        if (n_bytes, digest.hexdigest()) != (file.bytes, file.sha256):
            raise Damaged(f"{file.path} changed while it was read; say the same command again")
        target.write(_padding(file.bytes))
    target.write(_END)


def _padding(n_bytes: int) -> bytes:
    return bytes(-n_bytes % BLOCK)


# -------------------------------------------------------------------------------------------------------------- reading


def read(
    source: IO[bytes],
    target: Callable[[File], IO[bytes] | None],
    accept: Callable[[Manifest], None] = lambda manifest: None,
) -> Manifest:
    """Read an archive to its end. `target`: where the content of a file goes, which is closed after it; `None` leaves
    it. `accept` sees the manifest before anything else is read, and may raise. Raises Damaged, at the first byte that
    is not as it should be: what a target was given by then is not to be used."""
    start = source.read(2)
    source.seek(0)
    try:
        if start == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=source, mode="rb") as packed:
                return _read(packed, target, accept)
        return _read(source, target, accept)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Damaged(f"it is cut short or damaged ({error})") from None


def _read(
    source: IO[bytes] | gzip.GzipFile,
    target: Callable[[File], IO[bytes] | None],
    accept: Callable[[Manifest], None],
) -> Manifest:
    n_bytes = _take_header(source, MANIFEST, None)
    if n_bytes > _LARGEST_MANIFEST:
        raise Damaged(f"its {MANIFEST} has {n_bytes} bytes, wanted {_LARGEST_MANIFEST} at most")
    manifest = _manifest(_take(source, n_bytes))
    _take_zeros(source, -n_bytes % BLOCK)
    accept(manifest)
    for file in manifest.files:
        _take_header(source, file.path, file.bytes)
        digest, into = hashlib.sha256(), target(file)
        try:
            left = file.bytes
            while left:
                chunk = _take(source, min(left, _CHUNK))
                left -= len(chunk)
                digest.update(chunk)
                if into is not None:
                    into.write(chunk)
        finally:
            if into is not None and not isinstance(into, io.BytesIO):
                into.close()
        if digest.hexdigest() != file.sha256:
            raise Damaged(f"{file.path} has the SHA-256 {digest.hexdigest()}, the manifest says {file.sha256}")
        _take_zeros(source, -file.bytes % BLOCK)
    _take_zeros(source, len(_END))
    if source.read(1):
        raise Damaged("it goes on after its last file")
    return manifest


def _manifest(content: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if place == "version":
            raise Damaged(f"its format is of version {first['input']!r}, this reader knows {VERSION}") from None
        raise Damaged(f"its {MANIFEST} is none ({place}: {first['msg']})") from None


def _take(source: IO[bytes] | gzip.GzipFile, n_bytes: int) -> bytes:
    taken = source.read(n_bytes)
    while len(taken) < n_bytes:
        more = source.read(n_bytes - len(taken))
        if not more:
            raise Damaged("it is cut short")
        taken += more
    return taken


def _take_zeros(source: IO[bytes] | gzip.GzipFile, n_bytes: int) -> None:
    if any(_take(source, n_bytes)):
        raise Damaged("it has more than the manifest says")


def _take_header(source: IO[bytes] | gzip.GzipFile, name: str, n_bytes: int | None) -> int:
    """The size that it tells."""
    try:
        found = tarfile.TarInfo.frombuf(_take(source, BLOCK), "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        begins = "; it is no archive of `orchestrate export`" if n_bytes is None else ""
        raise Damaged(f"no file begins where {name} should{begins}") from None
    kind = "the file" if found.type == tarfile.REGTYPE else _KINDS.get(found.type, "something")
    if found.type != tarfile.REGTYPE or found.name != name:
        raise Damaged(f"found {kind} {found.name!r}, wanted the file {name!r}")
    if n_bytes is not None and found.size != n_bytes:
        raise Damaged(f"{name} has {found.size} bytes, the manifest says {n_bytes}")
    return found.size
