import dataclasses
import functools
import gzip
import http.server
import io
import json
import threading
import zipfile
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from model.data import catalog
from model.data.catalog import DataNotFound, DownloadFailed
from model.data.files import digest_of, read_bytes
from model.settings import BuiltinSettings, CdrSettings, DocredSettings, Limit, RedocredSettings

CDR_FILES: tuple[str, ...] = (
    "CDR_TrainingSet.PubTator.txt",
    "CDR_DevelopmentSet.PubTator.txt",
    "CDR_TestSet.PubTator.txt",
)


def pubtator(*ids):
    return "\n".join(
        f"{id}|t|Drugx gave fever.\n{id}|a|\n"
        f"{id}\t0\t5\tDrugx\tChemical\tD1\n{id}\t11\t16\tfever\tDisease\tD2\n{id}\tCID\tD1\tD2\n"
        for id in ids
    )


def docred(*titles):
    return json.dumps(
        [
            {
                "title": title,
                "sents": [["Anna", "left", "Halden"]],
                "vertexSet": [
                    [{"sent_id": 0, "pos": [0, 1], "type": "PER"}],
                    [{"sent_id": 0, "pos": [2, 3], "type": "LOC"}],
                ],
                "labels": [{"r": "P19", "h": 0, "t": 1, "evidence": []}],
            }
            for title in titles
        ]
    )


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def cdr_folder(tmp_path):
    for name, ids in zip(CDR_FILES, ([1, 2, 3], [4, 5], [6]), strict=True):
        put(tmp_path, f"cdr/{name}", pubtator(*ids))
    return tmp_path


def ids(documents):
    return [document.id for document in documents]


# ----------------------------------------------------------------------------------------------------------- search


def test_folders_are_searched_from_the_most_to_the_least_explicit(tmp_path, monkeypatch):
    asked, variable = tmp_path / "asked", tmp_path / "variable"
    asked.mkdir()
    variable.mkdir()
    monkeypatch.setenv("ORCHESTRATE_DATA", str(variable))
    monkeypatch.chdir(asked)
    assert catalog.search_path(asked) == (
        asked,
        variable,
        asked / "data",
        tmp_path / "shared" / "data",
        catalog.cache_folder(),
    )
    monkeypatch.delenv("ORCHESTRATE_DATA")
    assert catalog.search_path() == (asked / "data", tmp_path / "shared" / "data", catalog.cache_folder())


def test_a_folder_that_was_asked_for_must_be_there(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="--data is .*nowhere, which is not a folder"):
        catalog.search_path(tmp_path / "nowhere")
    monkeypatch.setenv("ORCHESTRATE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"\$ORCHESTRATE_DATA is .*nowhere, which is not a folder"):
        catalog.search_path()


def test_a_file_is_taken_from_the_first_folder_that_has_it(cdr_folder, tmp_path):
    first = tmp_path / "first"
    put(first, f"cdr/{CDR_FILES[0]}", pubtator(9))
    corpus = catalog.load(CdrSettings(), [first, cdr_folder])
    assert (ids(corpus.train), ids(corpus.dev)) == (["9"], ["4", "5"])


def test_files_may_lie_as_the_official_archive_unpacks(tmp_path):
    for name in CDR_FILES:
        put(tmp_path, f"cdr/CDR_Data/CDR.Corpus.v010516/{name}", pubtator(1))
    assert ids(catalog.load(CdrSettings(), [tmp_path]).test) == ["1"]


def test_what_is_missing_is_told_with_where_we_looked_and_what_to_type(tmp_path):
    put(tmp_path, "redocred/dev_revised.json.gz", docred("a"))
    with pytest.raises(DataNotFound) as error:
        catalog.load(RedocredSettings(), [tmp_path, tmp_path / "other"])
    message = str(error.value)
    assert "redocred/train_revised.json, redocred/test_revised.json" in message
    assert "dev_revised" not in message
    assert str(tmp_path / "other") in message
    assert "orchestrate data get redocred" in message
    for settings in (CdrSettings(), DocredSettings()):
        for call in (catalog.locate, catalog.digest):
            with pytest.raises(DataNotFound):
                call(settings, [tmp_path])


# -------------------------------------------------------------------------------------------------------- protocols


def test_cdr_official_trains_on_train_and_selects_on_dev(cdr_folder):
    corpus = catalog.load(CdrSettings(), [cdr_folder])
    assert (corpus.name, corpus.protocol) == ("cdr", "official")
    assert (ids(corpus.train), ids(corpus.dev), ids(corpus.test)) == (["1", "2", "3"], ["4", "5"], ["6"])
    assert corpus.labels.relation_types == ("CID",)


def test_cdr_released_trains_on_train_and_dev_and_selects_on_test_and_says_so(cdr_folder):
    settings = CdrSettings(protocol="released")
    corpus = catalog.load(settings, [cdr_folder])
    assert (ids(corpus.train), ids(corpus.dev), ids(corpus.test)) == (["1", "2", "3", "4", "5"], ["6"], ["6"])
    assert any("selected on the test" in note for note in corpus.notes)
    assert [len(paths) for paths in catalog.locate(settings, [cdr_folder]).values()] == [2, 1, 1]


def test_dev_as_train_parts_the_dev_file_at_400(tmp_path):
    put(tmp_path, "redocred/dev_revised.json", docred(*map(str, range(500))))
    put(tmp_path, "redocred/test_revised.json.gz", docred("t"))
    corpus = catalog.load(RedocredSettings(protocol="dev_as_train"), [tmp_path])
    assert ids(corpus.train) == [str(number) for number in range(400)]
    assert ids(corpus.dev) == [str(number) for number in range(400, 500)]
    assert ids(corpus.test) == ["t"]
    assert any("no published number compares" in note for note in corpus.notes)


def test_the_sample_is_parted_into_140_30_and_30(tmp_path):
    put(tmp_path, "docred/docred_200.json", docred(*map(str, range(200))))
    corpus = catalog.load(DocredSettings(protocol="sample"), [tmp_path])
    assert ids(corpus.train + corpus.dev + corpus.test) == [str(number) for number in range(200)]
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (140, 30, 30)


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        (DocredSettings(), ("train_joint", "dev_joint", "test_joint")),
        (DocredSettings(protocol="annotated"), ("train_annotated", "dev", "test")),
        (DocredSettings(protocol="distant"), ("train_distant", "dev_joint", "test_joint")),
        (RedocredSettings(), ("train_revised", "dev_revised", "test_revised")),
    ],
)
def test_a_protocol_reads_the_files_of_its_split(settings, files, tmp_path):
    for name in files:
        put(tmp_path, f"{settings.name}/{name}.json", docred(name))
    corpus = catalog.load(settings, [tmp_path])
    assert ids(corpus.train + corpus.dev + corpus.test) == list(files)


def test_every_protocol_of_every_data_set_can_be_named(tmp_path):
    for settings in (CdrSettings, DocredSettings, RedocredSettings):
        for protocol in get_args(settings.model_fields["protocol"].annotation):
            with pytest.raises(DataNotFound, match=f"protocol {protocol}"):
                catalog.locate(settings(protocol=protocol), [tmp_path])


def test_a_file_that_is_too_short_for_its_protocol_is_refused(tmp_path):
    put(tmp_path, "docred/docred_200.json", docred(*map(str, range(150))))
    with pytest.raises(ValueError, match="has 150 documents, but the protocol takes the first 170"):
        catalog.load(DocredSettings(protocol="sample"), [tmp_path])


def test_a_limit_takes_the_first_documents_and_is_noted(cdr_folder):
    corpus = catalog.load(CdrSettings(limit=Limit(train=2, test=7)), [cdr_folder])
    assert (ids(corpus.train), ids(corpus.dev), ids(corpus.test)) == (["1", "2"], ["4", "5"], ["6"])
    assert "only the first 2 train documents" in corpus.notes


def test_what_the_reader_changed_is_noted(cdr_folder):
    put(cdr_folder, f"cdr/{CDR_FILES[2]}", pubtator(6).replace("\tD1\n", "\t-1\n").replace("6\tCID\tD1\tD2\n", ""))
    notes = catalog.load(CdrSettings(), [cdr_folder]).notes
    assert notes == (f"{CDR_FILES[2]}: 1 of 2 mentions without an id (-1) are left out",)


def test_the_builtin_corpus_needs_no_files():
    corpus = catalog.load(BuiltinSettings(train=2, dev=1, test=1), [])
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (2, 1, 1)
    assert catalog.locate(BuiltinSettings(), []) == {"train": (), "dev": (), "test": ()}


def test_labels_are_known_without_reading():
    for settings in (CdrSettings(), DocredSettings(), RedocredSettings(), BuiltinSettings()):
        assert catalog.labels_of(settings).relation_types


# ----------------------------------------------------------------------------------------------------------- digest


def test_a_digest_does_not_depend_on_where_a_file_lies_or_whether_it_is_packed(cdr_folder, tmp_path):
    packed = tmp_path / "packed"
    for name in CDR_FILES:
        put(packed, f"cdr/{name}.gz", (cdr_folder / "cdr" / name).read_text())
    assert catalog.digest(CdrSettings(), [packed]) == catalog.digest(CdrSettings(), [cdr_folder])


@pytest.mark.parametrize(
    "other",
    [
        CdrSettings(protocol="released"),
        CdrSettings(limit=Limit(train=1)),
        CdrSettings(limit=Limit(test=1)),
    ],
)
def test_a_digest_depends_on_which_documents_are_used(other, cdr_folder):
    assert catalog.digest(other, [cdr_folder]) != catalog.digest(CdrSettings(), [cdr_folder])


def test_a_digest_depends_on_every_byte_that_is_read_and_on_no_other(cdr_folder):
    before = catalog.digest(CdrSettings(), [cdr_folder])
    put(cdr_folder, "cdr/notes.txt", "x")
    assert catalog.digest(CdrSettings(), [cdr_folder]) == before
    put(cdr_folder, f"cdr/{CDR_FILES[1]}", pubtator(4, 5) + "\n")
    assert catalog.digest(CdrSettings(), [cdr_folder]) != before


def test_a_digest_depends_on_the_reader(cdr_folder, monkeypatch):
    before = [catalog.digest(settings, [cdr_folder]) for settings in (CdrSettings(), BuiltinSettings())]
    monkeypatch.setattr("model.data.cdr.READER", -1)
    monkeypatch.setattr("model.data.builtin.WORDS", (61, 120))
    after = [catalog.digest(settings, [cdr_folder]) for settings in (CdrSettings(), BuiltinSettings())]
    assert all(old != new for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_digest_of_a_file_is_that_of_what_is_in_it_and_follows_its_content(tmp_path, suffix):
    path = put(tmp_path, f"a.json{suffix}", "one")
    assert digest_of(path) == catalog.sha256(b"one") == catalog.sha256(read_bytes(path))
    path.unlink()
    put(tmp_path, f"a.json{suffix}", "another")
    assert digest_of(path) == catalog.sha256(b"another")


def test_the_digest_of_a_file_that_is_cut_off_is_refused(tmp_path):
    path = put(tmp_path, "a.json.gz", "one" * 1000)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="not a whole gzip file"):
        digest_of(path)


def test_two_phases_have_a_digest_of_both_corpora():
    assert catalog.digest_of_phases("a", None) == "a"
    pairs = [("a", "b"), ("b", "a"), ("a", "c"), ("a", None), ("b", None)]
    assert len({catalog.digest_of_phases(*pair) for pair in pairs}) == len(pairs)


def test_a_protocol_that_selects_on_test_is_known():
    assert catalog.selects_on_test(CdrSettings(protocol="released"))
    assert not any(catalog.selects_on_test(s) for s in (CdrSettings(), RedocredSettings(), BuiltinSettings()))


def test_a_corpus_carries_its_digest(cdr_folder):
    for settings in (CdrSettings(), BuiltinSettings(train=1, dev=1, test=1), BuiltinSettings(seed=2, train=1)):
        assert catalog.load(settings, [cdr_folder]).digest == catalog.digest(settings, [cdr_folder])


# ------------------------------------------------------------------------------------------------------ list, check


def test_the_listing_says_which_protocols_can_be_run(tmp_path):
    path = put(tmp_path, "redocred/dev_revised.json", docred("a"))
    put(tmp_path, "redocred/test_revised.json", docred("a"))
    listed = {data.name: data for data in catalog.listing([tmp_path])}
    assert list(listed) == ["cdr", "docred", "redocred", "builtin"]
    assert (listed["redocred"].ready, listed["redocred"].missing) == (("dev_as_train",), ("official",))
    assert (listed["cdr"].ready, listed["cdr"].missing) == ((), ("official", "released"))
    assert listed["builtin"].ready == ("builtin",)
    dev = listed["redocred"].files[1]
    assert (dev.name, dev.path) == ("redocred/dev_revised.json", str(path))
    assert dev.protocols == ("official", "dev_as_train")
    assert listed["redocred"].files[0].path is None
    json.dumps([dataclasses.asdict(data) for data in listed.values()])


def test_check_finds_another_digest_other_counts_and_malformed_files(tmp_path):
    put(tmp_path, "redocred/dev_revised.json", docred("a", "b"))
    put(tmp_path, "redocred/test_revised.json", "[")
    result = catalog.check("redocred", [tmp_path])
    missing, counted, malformed = result.files
    assert not result.ok
    assert (missing.path, missing.problems) == (None, ())
    assert counted.counts == catalog.Counts(2, 4, 4, 2)
    assert counted.problems[0].startswith("sha256 is ")
    assert "2 documents, published are 500" in counted.problems
    assert "2 relations, published are 17284" in counted.problems
    assert "not JSON" in malformed.problems[0]
    json.dumps(dataclasses.asdict(result))


def test_check_is_not_content_with_nothing(tmp_path):
    assert not catalog.check("cdr", [tmp_path]).ok


def test_check_counts_the_builtin_corpus():
    result = catalog.check("builtin", [])
    assert result.ok
    assert [file.counts.documents for file in result.files if file.counts] == [200, 40, 60]


def test_an_unknown_data_set_is_refused_with_those_that_there_are(tmp_path):
    for call in (lambda: catalog.check("ace", [tmp_path]), lambda: catalog.get("ace", tmp_path)):
        with pytest.raises(ValueError, match="no data set 'ace'; there are cdr, docred, redocred, builtin"):
            call()


# -------------------------------------------------------------------------------------------------------------- get


class Handler(http.server.SimpleHTTPRequestHandler):
    asked: Counter = Counter()

    def do_GET(self):
        self.asked[self.path] += 1
        super().do_GET()

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine: the folder that it shows, its address, and how often each page was asked for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "server"
    folder.mkdir()
    Handler.asked = Counter()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def tiny_cdr(monkeypatch):
    """The published CDR, if it had a document a file: digests known for the first and wrong for the second."""
    contents = dict(zip(CDR_FILES, map(pubtator, (1, 2, 3)), strict=True))
    digests = (catalog.sha256(contents[CDR_FILES[0]].encode()), "0" * 64, None)
    files = tuple(
        dataclasses.replace(file, published=catalog.Counts(1, 2, 2, 1), sha256=digest)
        for file, digest in zip(catalog._FILES["cdr"], digests, strict=True)
    )
    monkeypatch.setitem(catalog._FILES, "cdr", files)
    return contents


def packed(contents):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in contents.items():
            archive.writestr(f"CDR_Data/CDR.Corpus/{name}", text)
    return buffer.getvalue()


def test_get_takes_all_files_from_one_archive_that_is_asked_for_once(server, tiny_cdr, tmp_path):
    folder, address = server
    (folder / "CDR_Data.zip").write_bytes(packed(tiny_cdr))
    target = tmp_path / "data"
    addresses = dict.fromkeys(CDR_FILES, f"{address}/CDR_Data.zip")
    fetched = catalog.get("cdr", target, addresses)
    assert [file.state for file in fetched] == ["downloaded"] * 3
    assert [file.verified for file in fetched] == ["sha256", "counts", "counts"]
    assert Handler.asked == {"/CDR_Data.zip": 1}
    assert ids(catalog.load(CdrSettings(), [target]).dev) == ["2"]
    assert [path.name for path in sorted((target / "cdr").iterdir())] == sorted(CDR_FILES)
    again = catalog.get("cdr", target, addresses)
    assert [file.state for file in again] == ["already there"] * 3
    assert Handler.asked == {"/CDR_Data.zip": 1}
    json.dumps([dataclasses.asdict(file) for file in fetched])


def test_get_unpacks_a_gz_and_takes_a_plain_file(server, tiny_cdr, tmp_path):
    folder, address = server
    for name, text in tiny_cdr.items():
        put(folder, name + ".gz" * (name == CDR_FILES[0]), text)
    addresses = {name: f"{address}/{name}" + ".gz" * (name == CDR_FILES[0]) for name in CDR_FILES}
    fetched = catalog.get("cdr", tmp_path / "data", addresses)
    assert Path(fetched[0].path).read_text() == tiny_cdr[CDR_FILES[0]]


def test_get_refuses_a_file_that_is_not_the_published_one_and_keeps_the_others(server, tiny_cdr, tmp_path):
    folder, address = server
    (folder / "a.zip").write_bytes(packed(tiny_cdr | {CDR_FILES[1]: pubtator(2, 3)}))
    target = tmp_path / "data"
    with pytest.raises(DownloadFailed) as error:
        catalog.get("cdr", target, dict.fromkeys(CDR_FILES, f"{address}/a.zip"))
    assert "1 of 3 files could not be had" in str(error.value)
    assert f"{CDR_FILES[1]}: ValueError: is not the published file: 2 documents, published are 1" in str(error.value)
    assert sorted(path.name for path in (target / "cdr").iterdir()) == sorted({CDR_FILES[0], CDR_FILES[2]})


def test_get_refuses_an_archive_without_the_file(server, tiny_cdr, tmp_path):
    folder, address = server
    (folder / "a.zip").write_bytes(packed({CDR_FILES[0]: tiny_cdr[CDR_FILES[0]]}))
    with pytest.raises(DownloadFailed, match="2 of 3 files could not be had(.|\n)*holds 0 files of that name"):
        catalog.get("cdr", tmp_path / "data", dict.fromkeys(CDR_FILES, f"{address}/a.zip"))


def test_without_a_network_get_says_what_to_put_where(server, tiny_cdr, tmp_path):
    _, address = server
    target = tmp_path / "data"
    with pytest.raises(DownloadFailed) as error:
        catalog.get("cdr", target, dict.fromkeys(CDR_FILES, f"{address}/none.zip"))
    message = str(error.value)
    assert "404" in message
    assert f"from {address}/none.zip" in message
    assert f"to   {target / 'cdr' / CDR_FILES[2]}" in message
    assert "orchestrate data check cdr" in message
    assert Handler.asked == {"/none.zip": 1}
    assert not target.exists()


def test_get_takes_a_large_file_only_for_a_protocol_that_reads_it(server, tmp_path, monkeypatch):
    folder, address = server
    files = tuple(
        dataclasses.replace(file, published=catalog.Counts(1), sha256=None) for file in catalog._FILES["docred"]
    )
    monkeypatch.setitem(catalog._FILES, "docred", files)
    for file in files:
        put(folder, file.name, docred(file.name))
    addresses = {file.name: f"{address}/{file.name}" for file in files}
    target = tmp_path / "data"
    fetched = {Path(file.path).name for file in catalog.get("docred", target, addresses)}
    assert fetched == {file.name for file in files} - {"train_distant.json"}
    distant = DocredSettings(protocol="distant")
    with pytest.raises(
        DataNotFound, match="docred/train_distant.json;.*`orchestrate data get docred --protocol distant`"
    ):
        catalog.locate(distant, [target])
    again = catalog.get("docred", target, addresses, "distant")
    assert [(Path(file.path).name, file.state) for file in again] == [
        ("dev_joint.json", "already there"),
        ("test_joint.json", "already there"),
        ("train_distant.json", "downloaded"),
    ]
    assert ids(catalog.load(distant, [target]).train) == ["train_distant.json"]
    with pytest.raises(
        ValueError, match="docred has no protocol 'distand'; its protocols are joint, annotated, distant"
    ):
        catalog.get("docred", target, addresses, "distand")


def test_get_refuses_names_that_it_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="cdr has no file 'train.txt'"):
        catalog.get("cdr", tmp_path, {"train.txt": "http://127.0.0.1/"})
    with pytest.raises(ValueError, match="nothing to download"):
        catalog.get("builtin", tmp_path)


# -------------------------------------------------------------------------------------------------- published data


def corpus_or_skip(settings):
    try:
        return catalog.load(settings, catalog.search_path())
    except DataNotFound as error:
        pytest.skip(str(error).split("\n")[0])


def counts(documents):
    return (
        len(documents),
        sum(len(document.sentences) for document in documents),
        sum(document.n_words for document in documents),
        sum(1 for document in documents for _ in document.mentions()),
        sum(len(document.entities) for document in documents),
        sum(len(document.relations) for document in documents),
    )


@pytest.mark.data
@pytest.mark.parametrize("name", ["cdr", "docred", "redocred"])
def test_every_file_that_is_found_is_the_published_one(name):
    result = catalog.check(name, catalog.search_path())
    found = [file for file in result.files if file.path]
    if not found:
        pytest.skip(f"no file of {name} found")
    assert {file.name: file.problems for file in found} == {file.name: () for file in found}
    assert result.ok


@pytest.mark.data
def test_cdr_has_the_published_counts():
    corpus = corpus_or_skip(CdrSettings())
    by_type = [
        Counter(entity.type for document in documents for entity in document.entities)
        for documents in (corpus.train, corpus.dev, corpus.test)
    ]
    assert [(count["Chemical"], count["Disease"]) for count in by_type] == [(1467, 1965), (1507, 1864), (1434, 1988)]
    assert [counts(documents)[5] for documents in (corpus.train, corpus.dev, corpus.test)] == [1038, 1012, 1066]
    assert all(document.relations for documents in (corpus.train, corpus.dev, corpus.test) for document in documents)


@pytest.mark.data
def test_cdr_sentences_cut_no_mention_and_are_nearly_as_many_as_in_the_files_that_others_use():
    corpus = corpus_or_skip(CdrSettings())
    assert not any("are cut" in note for note in corpus.notes)
    for documents, theirs in ((corpus.train, 4621), (corpus.dev, 4626), (corpus.test, 4847)):
        assert abs(counts(documents)[1] - theirs) < 0.025 * theirs


@pytest.mark.data
def test_a_cid_relation_goes_from_a_chemical_to_a_disease():
    corpus = corpus_or_skip(CdrSettings(protocol="released"))
    assert (len(corpus.train), len(corpus.dev), len(corpus.test)) == (1000, 500, 500)
    for document in corpus.train + corpus.test:
        for relation in document.relations:
            assert document.entities[relation.head].type == "Chemical"
            assert document.entities[relation.tail].type == "Disease"


@pytest.mark.data
def test_redocred_has_the_published_counts():
    corpus = corpus_or_skip(RedocredSettings(protocol="dev_as_train"))
    assert counts(corpus.train + corpus.dev) == (500, 4110, 101970, 13189, 9684, 17284)
    assert counts(corpus.test) == (500, 3966, 98734, 13018, 9779, 17448)
    types = Counter(entity.type for document in corpus.test for entity in document.entities)
    assert types == {"LOC": 2973, "TIME": 1826, "PER": 1536, "MISC": 1519, "ORG": 1298, "NUM": 627}


@pytest.mark.data
def test_the_docred_sample_has_the_published_counts():
    corpus = corpus_or_skip(DocredSettings(protocol="sample"))
    assert counts(corpus.train + corpus.dev + corpus.test) == (200, 1564, 37985, 5072, 3821, 2539)
