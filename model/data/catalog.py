"""Where a data set is found, which of its files is train, dev and test under which protocol, and how to get it.

A data folder holds a folder per data set, and in it the files by their official names, plain or packed (.gz):

    cdr/CDR_TrainingSet.PubTator.txt    docred/train_joint.json.gz    redocred/dev_revised.json    ...

Data folders are searched in the order of `search_path`; each file is taken from the first that has it.

Nothing here prints. `load`, `locate` and `digest` serve a trial; `listing`, `check` and `get` serve the command
`orchestrate data`, and return dataclasses that `dataclasses.asdict` makes ready for JSON.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from model.data import builtin, cdr, docred
from model.data.document import Document, to_json
from model.data.files import decode, digest_of, read_bytes, sha256
from model.data.labels import Labels
from model.settings import (
    BuiltinSettings,
    CdrSettings,
    DataSettings,
    DocredSettings,
    Limit,
    RedocredSettings,
)

FOLDER_VARIABLE = "ORCHESTRATE_DATA"
"""Environment variable with the user's data folder."""

SPLITS = ("train", "dev", "test")


class DataNotFound(ValueError):
    """A file of a data set is in none of the data folders. The message says where we looked and what to do."""


class DownloadFailed(ValueError):
    """A file could not be fetched, or is not the published one. The message says what to get and where to put it."""


# ------------------------------------------------------------------------------------------------- published files


@dataclass(frozen=True)
class Counts:
    """How much a file holds; `None` where nothing is published."""

    documents: int
    mentions: int | None = None
    """CDR: lines, those without an id too. DocRED: a span that is listed twice counts twice."""
    entities: int | None = None
    relations: int | None = None


@dataclass(frozen=True)
class PublishedFile:
    """A file as its authors name it. Folders are those below a data folder in which it may lie."""

    name: str
    folders: tuple[str, ...]
    published: Counts
    address: str
    sha256: str | None = None
    """Of the unpacked file; `None` where we never saw the file."""
    is_large: bool = False
    """About a gigabyte: `get` fetches it only for a protocol that wants it."""

    @property
    def wanted(self) -> str:
        return f"{self.folders[0]}/{self.name}"


_CDR_ZIP = "https://ftp.ncbi.nlm.nih.gov/pub/lu/BC5CDR/CDR_Data.zip"
_CDR_FOLDERS = ("cdr", "cdr/CDR_Data/CDR.Corpus.v010516", "CDR_Data/CDR.Corpus.v010516")
_REDOCRED = "https://raw.githubusercontent.com/tonytan48/Re-DocRED/ccfb54f5ddf5836027c87badda10f6dfc56efaac/data"
_DOCRED = "https://huggingface.co/datasets/thunlp/docred/resolve/main/data"
_JOINT = "http://lavis.cs.hs-rm.de/storage/jerex/public/datasets/docred_joint"
_SAMPLE = (
    "https://raw.githubusercontent.com/phos-phophy/creed/67e127a2a578e7154fd660dcace51428bffdc0e5/tests/loader/data"
)

# Counts: CDR, Re-DocRED and DocRED as in their papers and files (the paper says 1,000 for DocRED's dev, the
# released file has 998); the joint split as in JEREX.
_FILES: dict[str, tuple[PublishedFile, ...]] = {
    "cdr": (
        PublishedFile(
            "CDR_TrainingSet.PubTator.txt",
            _CDR_FOLDERS,
            Counts(500, 9385, 3432, 1038),
            _CDR_ZIP,
            "7afcec134e3d4871e74b0398d92850d3c9ac94c0bdc780003f2d60184c012bd8",
        ),
        PublishedFile(
            "CDR_DevelopmentSet.PubTator.txt",
            _CDR_FOLDERS,
            Counts(500, 9591, 3371, 1012),
            _CDR_ZIP,
            "9e18d8e700168887a7919e62f67ac2ce2357e3f409a48ee992906abdd80fe3e5",
        ),
        PublishedFile(
            "CDR_TestSet.PubTator.txt",
            _CDR_FOLDERS,
            Counts(500, 9809, 3422, 1066),
            _CDR_ZIP,
            "a3c48d5f35bdfce20c2371778abedc9fd24d1da092207072e5181ad53c8d0e2f",
        ),
    ),
    "docred": (
        *(
            PublishedFile(f"{split}_joint.json", ("docred", "docred_joint"), Counts(n), f"{_JOINT}/{split}_joint.json")
            for split, n in (("train", 3008), ("dev", 300), ("test", 700))
        ),
        PublishedFile("train_annotated.json", ("docred",), Counts(3053), f"{_DOCRED}/train_annotated.json.gz"),
        PublishedFile(
            "train_distant.json",
            ("docred",),
            Counts(101873),
            f"{_DOCRED}/train_distant.json.gz",
            is_large=True,
        ),
        PublishedFile("dev.json", ("docred",), Counts(998), f"{_DOCRED}/dev.json.gz"),
        PublishedFile(
            "test.json",
            ("docred",),
            Counts(1000, 26704, 19539, 0),
            f"{_DOCRED}/test.json.gz",
            "09386b5cb58249d8e087863c379ebd64557169c52ee502193d2f4f215e704ae8",
        ),
        PublishedFile(
            "docred_200.json",
            ("docred",),
            Counts(200, 5072, 3821, 2539),
            f"{_SAMPLE}/docred_200.json",
            "4393041be36bf2da317ac3805c0b038dda9ba8861958c24596ec959732de4707",
        ),
    ),
    "redocred": (
        PublishedFile("train_revised.json", ("redocred",), Counts(3053), f"{_REDOCRED}/train_revised.json"),
        PublishedFile(
            "dev_revised.json",
            ("redocred",),
            Counts(500, 13189, 9684, 17284),
            f"{_REDOCRED}/dev_revised.json",
            "051ee1d057204a5d08ef5502beacdadf191245b5eaf0e29ec2c607cf002c016f",
        ),
        PublishedFile(
            "test_revised.json",
            ("redocred",),
            Counts(500, 13018, 9779, 17448),
            f"{_REDOCRED}/test_revised.json",
            "ea673b7ef91e16510d7eb88863d3903e47318dc5653ef361266f27ae3b84723c",
        ),
    ),
    "builtin": (),
}

NAMES = tuple(_FILES)
"""The data sets, by the names that they have in a study."""


# ------------------------------------------------------------------------------------------------------- protocols


@dataclass(frozen=True)
class _Part:
    """Documents [start, stop) of a file; without `stop`, to its end."""

    file: str
    start: int = 0
    stop: int | None = None

    def of(self, documents: tuple[Document, ...], source: str) -> tuple[Document, ...]:
        if self.stop is not None and len(documents) < self.stop:
            raise ValueError(f"{source}: has {len(documents)} documents, but the protocol takes the first {self.stop}")
        return documents[self.start : self.stop]


@dataclass(frozen=True)
class _Protocol:
    """What train, dev and test are made of, and what a reader of the scores must know."""

    train: tuple[_Part, ...]
    dev: tuple[_Part, ...]
    test: tuple[_Part, ...]
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, tuple[_Part, ...]]:
        return {"train": self.train, "dev": self.dev, "test": self.test}


def _three(train: str, dev: str, test: str, *notes: str) -> _Protocol:
    return _Protocol((_Part(train),), (_Part(dev),), (_Part(test),), notes)


_CDR_TRAIN, _CDR_DEV, _CDR_TEST = (file.name for file in _FILES["cdr"])
_PROTOCOLS: dict[str, dict[str, _Protocol]] = {
    "cdr": {
        "official": _three(_CDR_TRAIN, _CDR_DEV, _CDR_TEST),
        "released": _Protocol(
            (_Part(_CDR_TRAIN), _Part(_CDR_DEV)),
            (_Part(_CDR_TEST),),
            (_Part(_CDR_TEST),),
            ("the epoch is selected on the test documents, so the score is not one on unseen data",),
        ),
    },
    "docred": {
        "joint": _three("train_joint.json", "dev_joint.json", "test_joint.json"),
        "annotated": _three(
            "train_annotated.json",
            "dev.json",
            "test.json",
            "the test documents have no relation labels: their relation scores mean nothing",
        ),
        "distant": _three(
            "train_distant.json",
            "dev_joint.json",
            "test_joint.json",
            "the training documents were labelled by distant supervision",
        ),
        "sample": _Protocol(
            (_Part("docred_200.json", 0, 140),),
            (_Part("docred_200.json", 140, 170),),
            (_Part("docred_200.json", 170, 200),),
            ("200 training documents, split 140/30/30; no published number compares",),
        ),
    },
    "redocred": {
        "official": _three("train_revised.json", "dev_revised.json", "test_revised.json"),
        "dev_as_train": _Protocol(
            (_Part("dev_revised.json", 0, 400),),
            (_Part("dev_revised.json", 400, 500),),
            (_Part("test_revised.json"),),
            ("trained on 400 of the dev documents, selected on the other 100; no published number compares",),
        ),
    },
}


# ------------------------------------------------------------------------------------------------ finding and loading


@dataclass(frozen=True)
class Corpus:
    """The documents of a trial, with their labels, the digest that stands for them, and what a reader must know."""

    name: str
    protocol: str
    train: tuple[Document, ...]
    dev: tuple[Document, ...]
    test: tuple[Document, ...]
    labels: Labels
    digest: str
    notes: tuple[str, ...] = ()


def search_path(explicit: Path | None = None) -> tuple[Path, ...]:
    """Data folders, first one first: `--data`, $ORCHESTRATE_DATA, ./data, ../shared/data, the user's cache.

    A folder that somebody asked for must be there (else ValueError); the others may be missing. Absolute, so that a
    worker that runs in another folder finds the same files.
    """
    asked = [("--data", explicit)]
    if value := os.environ.get(FOLDER_VARIABLE):
        asked.append((f"${FOLDER_VARIABLE}", Path(value)))
    folders = []
    for origin, folder in asked:
        if folder is None:
            continue
        if not folder.expanduser().is_dir():
            raise ValueError(f"{origin} is {folder}, which is not a folder")
        folders.append(folder.expanduser())
    folders += [Path("data"), Path("..", "shared", "data"), cache_folder()]
    return tuple(dict.fromkeys(Path(os.path.abspath(folder)) for folder in folders))


def cache_folder() -> Path:
    """Where `get` puts files if it is not told otherwise; the last of the search path."""
    return platformdirs.user_cache_path("orchestrate") / "data"


def locate(settings: DataSettings, search: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    """The files that train, dev and test are read from. A split may take two files, or share one with another split.

    The built-in corpus has none. Raises DataNotFound with every file that is missing, where it was looked for, and
    what to type.
    """
    if isinstance(settings, BuiltinSettings):
        return {split: () for split in SPLITS}
    paths = _paths(settings, search)
    return {split: tuple(paths[part.file] for part in parts) for split, parts in _protocol(settings).splits.items()}


def selects_on_test(settings: DataSettings) -> bool:
    """Whether the protocol has no dev documents but those it tests on, so that the score is not one on unseen data."""
    if isinstance(settings, BuiltinSettings):
        return False
    splits = _protocol(settings).splits
    return splits["dev"] == splits["test"]


def digest(settings: DataSettings, search: Sequence[Path]) -> str:
    """SHA-256 over what decides the documents of a trial: unpacked files, protocol, limits, version of the reader.

    Where a file lies and whether it is packed does not matter. Cheap: files are read, not parsed; the documents of the
    built-in corpus are made, and are the digest. Raises DataNotFound.
    """
    if isinstance(settings, BuiltinSettings):
        return _builtin_digest(builtin.generate(settings))
    return _digest(settings, {name: digest_of(path) for name, path in _paths(settings, search).items()})


def digest_of_phases(data: str, pretraining: str | None) -> str:
    """The digest of all data that a trial rests on: of its own, and of that of the phase before, if there is one."""
    return data if pretraining is None else _combined({"data": data, "pretraining": pretraining})


def load(settings: DataSettings, search: Sequence[Path]) -> Corpus:
    """The documents of a data set under its protocol and limits, checked against its labels.

    Raises DataNotFound; ValueError for a file that is malformed, is shorter than its protocol wants, or names a type
    that the labels do not have.
    """
    if isinstance(settings, BuiltinSettings):
        splits = train, dev, test = builtin.generate(settings)
        for documents, split in ((train, "train"), (dev, "dev"), (test, "test")):
            builtin.LABELS.check(documents, f"built-in {split}")
        notes = ("made from a seed; no published number compares",)
        return Corpus(settings.name, "builtin", train, dev, test, builtin.LABELS, _builtin_digest(splits), notes)
    paths = _paths(settings, search)
    contents = {name: read_bytes(path) for name, path in paths.items()}
    protocol = _protocol(settings)
    read = {
        name: _parse(settings, decode(content, str(paths[name])), paths[name]) for name, content in contents.items()
    }
    labels = _labels(settings)
    splits = {}
    for split, parts in protocol.splits.items():
        chosen = tuple(
            document for part in parts for document in part.of(read[part.file].documents, str(paths[part.file]))
        )
        splits[split] = chosen[: getattr(settings.limit, split)]
        labels.check(splits[split], f"{settings.name} {split}")
    notes = protocol.notes + tuple(note for name in paths for note in read[name].notes) + _limit_notes(settings.limit)
    return Corpus(
        name=settings.name,
        protocol=settings.protocol,
        **splits,
        labels=labels,
        digest=_digest(settings, {name: sha256(content) for name, content in contents.items()}),
        notes=notes,
    )


def labels_of(settings: DataSettings) -> Labels:
    """The types of a data set, without reading it."""
    return builtin.LABELS if isinstance(settings, BuiltinSettings) else _labels(settings)


# What is told apart by the class of the settings, told apart here and nowhere else.

_FileSettings = CdrSettings | DocredSettings | RedocredSettings


def _labels(settings: _FileSettings) -> Labels:
    match settings:
        case CdrSettings():
            return cdr.LABELS
        case DocredSettings() | RedocredSettings():
            return docred.LABELS


def _reader(settings: _FileSettings) -> str:
    match settings:
        case CdrSettings():
            return f"cdr {cdr.segmentation()}"
        case DocredSettings() | RedocredSettings():
            return f"docred reader {docred.READER}"


@dataclass(frozen=True)
class _Read:
    documents: tuple[Document, ...]
    counts: Counts
    notes: tuple[str, ...] = ()


def _parse(settings: _FileSettings, text: str, path: Path) -> _Read:
    match settings:
        case CdrSettings():
            documents, tally = cdr.parse(text, str(path))
            counts = Counts(tally.documents, tally.mentions, tally.entities, tally.relations)
            return _Read(documents, counts, tally.notes(path.name.removesuffix(".gz")))
        case DocredSettings() | RedocredSettings():
            documents = docred.parse(text, str(path))
            return _Read(documents, _counted(documents))


def _settings(name: str) -> DataSettings:
    """Default settings of a data set by name, for what does not depend on the protocol."""
    classes = (CdrSettings, DocredSettings, RedocredSettings, BuiltinSettings)
    by_name: dict[str, DataSettings] = {settings.name: settings for settings in (kind() for kind in classes)}
    if name not in by_name:
        raise ValueError(f"no data set {name!r}; there are {', '.join(NAMES)}")
    return by_name[name]


def _protocol(settings: _FileSettings) -> _Protocol:
    return _PROTOCOLS[settings.name][settings.protocol]


def _files_of(name: str, protocol: str) -> set[str]:
    return {part.file for parts in _PROTOCOLS[name][protocol].splits.values() for part in parts}


def _limit_notes(limit: Limit) -> tuple[str, ...]:
    return tuple(
        f"only the first {number} {split} documents"
        for split in SPLITS
        if (number := getattr(limit, split)) is not None
    )


def _find(file: PublishedFile, search: Sequence[Path]) -> Path | None:
    for folder in search:
        for inner in file.folders:
            for name in (file.name, f"{file.name}.gz"):
                if (path := folder / inner / name).is_file():
                    return path
    return None


def _paths(settings: _FileSettings, search: Sequence[Path]) -> dict[str, Path]:
    """File name → path, in the order in which the protocol names the files."""
    wanted = dict.fromkeys(part.file for parts in _protocol(settings).splits.values() for part in parts)
    files = {file.name: file for file in _FILES[settings.name]}
    found = {name: _find(files[name], search) for name in wanted}
    missing = [files[name] for name, path in found.items() if path is None]
    if missing:
        looked = ", ".join(map(str, search)) or "no folders"
        only = f" --protocol {settings.protocol}" if any(file.is_large for file in missing) else ""
        raise DataNotFound(
            f"{settings.name}, protocol {settings.protocol}: not found: {', '.join(file.wanted for file in missing)}; "
            f"looked in {looked}; "
            f"type `orchestrate data get {settings.name}{only}`, or put the files, plain or .gz, below one of these "
            f"folders"
        )
    return {name: path for name, path in found.items() if path is not None}


def _digest(settings: _FileSettings, digests: Mapping[str, str]) -> str:
    """`digests`: file name → that of its unpacked content."""
    return _combined(
        {
            "reader": _reader(settings),
            "splits": {
                split: [[digests[part.file], part.start, part.stop] for part in parts]
                for split, parts in _protocol(settings).splits.items()
            },
            "limit": settings.limit.model_dump(mode="json"),
        }
    )


def _builtin_digest(splits: Sequence[Sequence[Document]]) -> str:
    return _combined([[to_json(document) for document in split] for split in splits])


def _combined(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _counted(documents: Iterable[Document]) -> Counts:
    documents = tuple(documents)
    return Counts(
        documents=len(documents),
        mentions=sum(len(entity.mentions) for document in documents for entity in document.entities),
        entities=sum(len(document.entities) for document in documents),
        relations=sum(len(document.relations) for document in documents),
    )


# ------------------------------------------------------------------------------------------------ list, check, get


@dataclass(frozen=True)
class ListedFile:
    name: str
    """Where it is wanted below a data folder."""
    path: str | None
    """Where it was found."""
    address: str
    protocols: tuple[str, ...]
    """The protocols that need it."""


@dataclass(frozen=True)
class ListedData:
    """A data set: which protocols can be run with what is found, and its files."""

    name: str
    description: str
    ready: tuple[str, ...]
    missing: tuple[str, ...]
    files: tuple[ListedFile, ...]


def listing(search: Sequence[Path]) -> tuple[ListedData, ...]:
    """All data sets, with what of them is found on the search path. No file is read."""
    return tuple(_listed(name, search) for name in NAMES)


def _listed(name: str, search: Sequence[Path]) -> ListedData:
    protocols = _PROTOCOLS.get(name, {})
    needs = {protocol: _files_of(name, protocol) for protocol in protocols}
    paths = {file.name: _find(file, search) for file in _FILES[name]}
    ready = tuple(protocol for protocol, files in needs.items() if all(paths[file] for file in files))
    return ListedData(
        name=name,
        description=(type(_settings(name)).__doc__ or "").split("\n")[0].rstrip("."),
        ready=ready if protocols else ("builtin",),
        missing=tuple(protocol for protocol in needs if protocol not in ready),
        files=tuple(
            ListedFile(
                name=file.wanted,
                path=str(path) if (path := paths[file.name]) else None,
                address=file.address,
                protocols=tuple(protocol for protocol, files in needs.items() if file.name in files),
            )
            for file in _FILES[name]
        ),
    )


@dataclass(frozen=True)
class CheckedFile:
    """A file against what is published: `counts` is what it holds, `problems` is empty if all agrees."""

    name: str
    path: str | None
    sha256: str | None
    published_sha256: str | None
    counts: Counts | None
    published: Counts | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class CheckedData:
    """`ok`: at least one file is there, and none that is there has a problem."""

    name: str
    ok: bool
    files: tuple[CheckedFile, ...]


def check(name: str, search: Sequence[Path]) -> CheckedData:
    """Read every file of a data set that is found; compare digest and counts with the published ones.

    A file that is missing is listed with `path` None and is no problem, since no protocol needs all of them. A file
    that differs from the published one is a problem, but can be used. Raises ValueError for an unknown name.
    """
    settings = _settings(name)
    if isinstance(settings, BuiltinSettings):
        corpus = load(settings, search)
        files = tuple(
            CheckedFile(f"builtin {split}", None, None, None, _counted(getattr(corpus, split)), None, ())
            for split in SPLITS
        )
        return CheckedData(name, True, files)
    files = tuple(_checked(settings, file, _find(file, search)) for file in _FILES[name])
    found = [file for file in files if file.path]
    return CheckedData(name, bool(found) and not any(file.problems for file in found), files)


def _checked(settings: _FileSettings, file: PublishedFile, path: Path | None) -> CheckedFile:
    if path is None:
        return CheckedFile(file.wanted, None, None, file.sha256, None, file.published, ())
    found, counts, problems = None, None, []
    try:
        content = read_bytes(path)
        found = sha256(content)
        counts = _parse(settings, decode(content, str(path)), path).counts
    except (ValueError, OSError) as error:
        problems.append(str(error))
    if found and file.sha256 and found != file.sha256:
        problems.append(f"sha256 is {found}, published is {file.sha256}")
    if counts:
        problems += _differences(counts, file.published)
    return CheckedFile(file.wanted, str(path), found, file.sha256, counts, file.published, tuple(problems))


def _differences(counts: Counts, published: Counts) -> list[str]:
    return [
        f"{have} {field}, published are {want}"
        for field in Counts.__dataclass_fields__
        if (want := getattr(published, field)) is not None and (have := getattr(counts, field)) != want
    ]


@dataclass(frozen=True)
class Fetched:
    """A file after `get`."""

    name: str
    path: str
    address: str
    state: Literal["downloaded", "already there"]
    verified: Literal["sha256", "counts"]
    """By digest; by its counts where we know no digest, or where the digest differs but all published counts agree."""
    sha256: str


def get(
    name: str, folder: Path | None = None, addresses: Mapping[str, str] | None = None, protocol: str | None = None
) -> tuple[Fetched, ...]:
    """Download the files of a data set from where its authors publish them into a data folder (the user's cache).

    With `protocol` those that it reads, else all but large ones. Files that are there are checked and kept. A file is
    put in place only once it is whole, can be read and is the published one, by its digest or, where that is not known,
    by its counts. `addresses` (file name → address) replace the official ones, for a mirror. An address that ends in
    .zip holds the file at any depth; one in .gz is unpacked.

    Raises ValueError for an unknown name or protocol, or a file name in `addresses` that the data set does not have,
    and DownloadFailed if any file could not be had: the others are kept.
    """
    settings = _settings(name)
    if isinstance(settings, BuiltinSettings):
        raise ValueError("the built-in corpus is made from a seed; there is nothing to download")
    files = _FILES[name]
    replaced = dict(addresses or {})
    if unknown := sorted(set(replaced) - {file.name for file in files}):
        raise ValueError(f"{name} has no file {unknown[0]!r}; its files are {', '.join(file.name for file in files)}")
    folder = folder or cache_folder()
    fetched, failed = [], []
    archives: dict[str, bytes | Exception] = {}
    if protocol is not None and protocol not in _PROTOCOLS[name]:
        raise ValueError(f"{name} has no protocol {protocol!r}; its protocols are {', '.join(_PROTOCOLS[name])}")
    wanted = None if protocol is None else _files_of(name, protocol)
    files = [file for file in files if (not file.is_large if wanted is None else file.name in wanted)]
    for file in files:
        address = replaced.get(file.name, file.address)
        try:
            fetched.append(_fetch(settings, file, address, folder, archives))
        except Exception as error:  # whatever goes wrong on the way is told with its file
            failed.append(f"{file.name}: {_first_line(error)}\n  from {address}\n  to   {folder / file.wanted}")
    if failed:
        had = f" (have: {', '.join(file.name for file in fetched)})" if fetched else ""
        raise DownloadFailed(
            f"{name}: {len(failed)} of {len(files)} files could not be had{had}\n"
            + "\n".join(failed)
            + "\nwithout a network, get these elsewhere and put them there, plain or .gz; then `orchestrate data check "
            f"{name}`"
        )
    return tuple(fetched)


def _fetch(
    settings: _FileSettings,
    file: PublishedFile,
    address: str,
    folder: Path,
    archives: dict[str, bytes | Exception],
) -> Fetched:
    if present := _find(file, [folder]):
        content = read_bytes(present)
        verified = _verified(settings, file, content, present)
        return Fetched(file.wanted, str(present), address, "already there", verified, sha256(content))
    if address not in archives:
        try:
            archives[address] = _download(address)
        except Exception as error:  # kept, so that a dead address is asked once and not once a file
            archives[address] = error
    packed = archives[address]
    if isinstance(packed, Exception):
        raise packed
    content = _unpacked(packed, address, file.name)
    path = folder / file.wanted
    verified = _verified(settings, file, content, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{file.name}.", delete=False) as part:
        part.write(content)
    os.chmod(part.name, 0o644)
    os.replace(part.name, path)
    return Fetched(file.wanted, str(path), address, "downloaded", verified, sha256(content))


def _verified(settings: _FileSettings, file: PublishedFile, content: bytes, path: Path) -> Literal["sha256", "counts"]:
    """How the content is known to be the published one; raises ValueError if it is not."""
    if sha256(content) == file.sha256:
        return "sha256"
    counts = _parse(settings, decode(content, file.name), path).counts
    if differences := _differences(counts, file.published):
        raise ValueError(f"is not the published file: {'; '.join(differences)}")
    return "counts"


def _download(address: str) -> bytes:
    import pooch  # here, since it brings an HTTP client that planning a study does not need

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # printing is the command line's business
    try:
        with tempfile.TemporaryDirectory() as folder:
            downloader = pooch.HTTPDownloader(timeout=60, hooks={"response": _close_if_refused})
            path = pooch.retrieve(
                address,
                known_hash=None,  # the digests that we know are those of the unpacked files
                fname="part",
                path=folder,
                downloader=downloader,  # pyright: ignore[reportArgumentType] - pooch's own, which its protocol refuses
            )
            return Path(path).read_bytes()
    finally:
        logger.setLevel(level)


def _close_if_refused(response, *_, **__) -> None:
    """pooch leaves the connection of a 404 open."""
    if not response.ok:
        response.close()


def _unpacked(content: bytes, address: str, name: str) -> bytes:
    if address.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [member for member in archive.namelist() if member.rsplit("/", 1)[-1] == name]
            if len(members) != 1:
                raise ValueError(f"the archive holds {len(members)} files of that name, expected one")
            return archive.read(members[0])
    if address.endswith(".gz"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "part.gz")
            path.write_bytes(content)
            return read_bytes(path)
    return content


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0]
