"""Files that this program reads again, with anything in them: only the documented errors come out.

Example images, graphs and packs have fuzz tests of their own.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_specification, part_of, words_encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standins.host import StandInHost, start, write_checkpoint

from lib_gmi.base.errors import LibraryError, PromptSetError, SpecificationError
from lib_gmi.checkpoints.file_index import FileIndex
from lib_gmi.checkpoints.identity import quick_identity
from lib_gmi.checkpoints.overrides import Overrides, PresetError, apply
from lib_gmi.library.catalogue import Library
from lib_gmi.library.favourites import Favourites
from lib_gmi.ranking.stack import stack
from lib_gmi.records.prompts import PromptSet
from lib_gmi.records.protocols import GenerationSettings
from lib_gmi.records.specification import Rejection, Specification
from lib_gmi.records.specification_file import from_bytes, to_bytes
from lib_gmi.service import samples
from lib_gmi.submitting.recorder import completed, worded

#: Found by chance, but the same in each run.
fuzzed = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TEXTS = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["", " ", "\0", "\ud800", "caf\udce9", "natural", "sha256:a", "quick:", "1e999", "x" * 11_000]
)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([10**400, -(10**400), 1e308, math.inf, math.nan, 2**63, -1, True])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything in a JSON value, itself included."""
    yield at
    if isinstance(value, dict | list):
        children = value.items() if isinstance(value, dict) else enumerate(value)
        for key, child in children:
            yield from places(child, (*at, key))


@st.composite
def mutations(draw: st.DrawFn, good: Any) -> Any:
    """A good JSON value with up to three places replaced, removed, doubled or renamed."""
    value = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        inside = [at for at in places(value) if at]
        if not inside:
            break
        *outer, key = draw(st.sampled_from(inside))
        place = value
        for step in outer:
            place = place[step]
        kind = draw(st.sampled_from(("replace", "replace", "remove", "other")))
        if kind == "remove":
            del place[key]
        elif kind == "replace":
            place[key] = draw(JSON)
        elif isinstance(place, dict):
            place[draw(TEXTS)] = place[key]
        else:
            place.append(place[key])
    return value


@st.composite
def contents(draw: st.DrawFn, good: Any) -> bytes:
    """A file: a mutation as a rule, else any JSON, a good file cut off or flipped, any bytes."""
    kind = draw(st.sampled_from(("mutation", "mutation", "mutation", "json", "bytes", "damage")))
    if kind == "bytes":
        return draw(st.binary(max_size=60))
    if kind == "damage":
        data = bytearray(json.dumps(good).encode())
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)
    return json.dumps(draw(mutations(good) if kind == "mutation" else JSON)).encode()


@contextmanager
def only(*allowed: type[Exception]) -> Iterator[None]:
    """These errors and no others."""
    with contextlib.suppress(*allowed):
        yield


# -- specifications -------------------------------------------------------------------------------


def _whole() -> Specification:
    return replace(
        make_specification("Alpha", 3, dim=4),
        settings=GenerationSettings(steps=20, extra={"prefix": "a"}),
        rejected=(Rejection("p09", 9, "flat"),),
        texts={"p00": "A cat."},
        provenance={"workflow": {"nodes": [1, 2]}},
        extra={"later": [1]},
        extra_tensors={"later": np.arange(6, dtype=np.int32)},
    )


GOOD = to_bytes(_whole())
HEADER = 8 + int.from_bytes(GOOD[:8], "little")


def with_header(header: Any, arrays: bytes = GOOD[HEADER:]) -> bytes:
    """A file with a header of a valid shape."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + arrays


def read_or_refused(data: bytes) -> Specification | None:
    """A specification that the program can do everything with, or ``None`` if it was refused."""
    try:
        read = from_bytes(data, "fuzzed")
    except SpecificationError:
        return None
    again = from_bytes(to_bytes(read))
    assert again.key == read.key
    assert np.array_equal(again.features, read.features)
    assert np.isfinite(read.features).all()
    json.dumps(read.describe(), allow_nan=False).encode()
    read.key.encode()
    assert read.done >= set(read.prompt_ids)
    assert read.suspect is None or read.suspect
    read.merged(part_of(read, read.prompt_ids[:1]))
    stack([read])
    return read


@given(data=st.data())
@fuzzed
def test_any_description_is_read_whole_or_refused(data: st.DataObject) -> None:
    header = json.loads(GOOD[8:HEADER])
    described = json.loads(header["__metadata__"]["gmi.specification"])
    raw = data.draw(contents(described))
    try:
        header["__metadata__"]["gmi.specification"] = raw.decode()
    except UnicodeDecodeError:
        return
    read_or_refused(with_header(header))


@given(header=mutations(json.loads(GOOD[8:HEADER])), arrays=st.binary(max_size=20))
@fuzzed
def test_any_header_is_read_whole_or_refused(header: Any, arrays: bytes) -> None:
    read_or_refused(with_header(header))
    read_or_refused(with_header(header, arrays))


@given(data=st.binary(max_size=200), length=st.integers(0, 2**64 - 1))
@fuzzed
def test_any_bytes_with_the_shape_of_a_file_are_read_whole_or_refused(
    data: bytes, length: int
) -> None:
    for whole in (data, with_header(data), length.to_bytes(8, "little") + data, GOOD[:8] + data):
        read_or_refused(whole)


@given(
    cuts=st.lists(
        st.tuples(
            st.integers(0, len(GOOD) - 1), st.integers(0, 30), st.binary(min_size=0, max_size=8)
        ),
        min_size=1,
        max_size=4,
    )
)
@fuzzed
def test_good_files_with_pieces_replaced_are_read_whole_or_refused(
    cuts: list[tuple[int, int, bytes]],
) -> None:
    data = bytearray(GOOD)
    for start_, length, piece in cuts:
        data[start_ : start_ + length] = piece
    read_or_refused(bytes(data))


def test_the_fuzzed_file_is_a_good_one() -> None:
    read = read_or_refused(GOOD)
    assert read is not None
    assert read_or_refused(with_header(json.loads(GOOD[8:HEADER]))) is not None
    assert read.extra == {"later": [1]}


# -- prompt sets ----------------------------------------------------------------------------------

PROMPTS = {
    "name": "mine",
    "version": "1",
    "dialects": {
        "natural": {"field": "natural", "prefix": "", "negative": "ugly"},
        "pony": {"field": "booru", "prefix": "score_9, ", "negative": ""},
    },
    "prompts": [
        {"id": "cat", "natural": "A cat.", "booru": "cat", "topics": ["animals"]},
        {"id": "sea", "natural": "The sea.", "booru": "sea"},
    ],
}


def use(prompts: PromptSet, library: Library) -> None:
    """Everything that is done with a prompt set, up to a stored specification."""
    assert len(prompts.hash) == 64
    assert prompts.passes()[-1] == len(prompts)
    for prompt in prompts.prompts:
        for dialect in prompts.dialects:
            rendering = prompts.render(prompt, dialect)
            assert isinstance(rendering.text + rendering.negative, str)
            wanted = GenerationSettings(dialect=dialect)
            assert worded(prompt.text, wanted, prompts)
            (completed(wanted, prompts).negative + prompt.text + prompt.id).encode()
        assert prompts.get(prompt.id) is prompt
        assert all(isinstance(topic, str) for topic in prompt.topics)
    f"{prompts.name} {prompts.version}".encode()
    some = prompts.ids[:4]
    made = make_specification("Alpha", len(some))
    if all(len(prompt_id) <= 10_000 for prompt_id in some):
        library.add(replace(made, prompt_ids=some))


@pytest.mark.parametrize("good", [PROMPTS, [{"id": "a", "prompt": "A cat."}]], ids=["own", "list"])
@given(data=st.data())
@fuzzed
def test_any_prompt_set_can_be_used_or_is_refused(
    tmp_path: Path, good: Any, data: st.DataObject
) -> None:
    path = tmp_path / "prompts.json"
    path.write_bytes(data.draw(contents(good)))
    with only(PromptSetError):
        prompts = PromptSet.load(path)
        use(prompts, Library(tmp_path / "library"))


@pytest.mark.parametrize(
    ("key", "value"), [("prefix", 5), ("prefix", None), ("negative", ["a"]), ("negative", 1.5)]
)
def test_a_dialect_that_is_no_text_is_refused_when_it_is_read(
    tmp_path: Path, key: str, value: Any
) -> None:
    """Or it would stop a build later, with an error that names no file."""
    broken = copy.deepcopy(PROMPTS)
    broken["dialects"]["pony"][key] = value  # type: ignore[index]
    (tmp_path / "prompts.json").write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(PromptSetError, match=r"prompts\.json.*expected a text"):
        PromptSet.load(tmp_path / "prompts.json")


def test_a_prompt_that_no_file_can_hold_is_refused_when_it_is_read(tmp_path: Path) -> None:
    for row in ({"id": "a\ud800", "prompt": "x"}, {"id": "a", "prompt": "x\ud800"}):
        (tmp_path / "prompts.json").write_text(json.dumps([row]), encoding="utf-8")
        with pytest.raises(PromptSetError, match=r"prompts\.json"):
            PromptSet.load(tmp_path / "prompts.json")


# -- what the user keeps --------------------------------------------------------------------------

SETTINGS = {
    "version": 1,
    "checkpoints": {
        "sha256:a": {"steps": 5, "cfg": 7.0, "prefix": "a", "sampler": "euler"},
        "quick:b": {"width": 512},
    },
}


@given(raw=contents(SETTINGS))
@fuzzed
def test_any_settings_file_is_read_refused_or_kept_aside(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(raw)
    overrides = Overrides(path)
    for identity in ("sha256:a", "quick:b", "nobody"):
        with only(PresetError):
            apply(GenerationSettings(), overrides.get(identity))
    with only(PresetError):
        overrides.move("quick:b", "sha256:b")
    with only(PresetError):
        overrides.set("sha256:new", {"steps": 9})
        assert Overrides(path).get("sha256:new") == {"steps": 9}
    aside = sorted(tmp_path.glob("settings.json.damaged-*"))
    kept = [file.read_bytes() for file in (*aside, path)]
    assert raw in kept or path.exists()
    for file in aside:
        assert file.read_bytes() == raw
        file.unlink()


@given(raw=contents({"names": ["a", "b/c.safetensors", "é"]}))
@fuzzed
def test_any_favourites_file_is_read_or_kept_aside(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "favourites.json"
    path.write_bytes(raw)
    favourites = Favourites(path)
    before = favourites.names()
    assert all(isinstance(name, str) for name in before)
    favourites.set("new", True)
    assert Favourites(path).names() == before | {"new"}
    for file in tmp_path.glob("favourites.json.damaged-*"):
        assert file.read_bytes() == raw
        file.unlink()


@given(name=TEXTS)
@fuzzed
def test_any_name_can_be_a_favourite(tmp_path: Path, name: str) -> None:
    path = tmp_path / "favourites.json"
    Favourites(path).set("old", True)
    Favourites(path).set(name, True)
    assert Favourites(path).names() == {"old", name}
    Favourites(path).set(name, False)
    assert Favourites(path).names() == {"old"} - {name}


# -- caches ---------------------------------------------------------------------------------------


@given(data=st.data())
@settings(fuzzed, max_examples=40)
def test_any_catalogue_is_only_a_cache(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "library"
    library = Library(folder)
    if not folder.exists():
        library.add(make_specification("Alpha"))
        library.entries()
        (tmp_path / "good.json").write_bytes((folder / "catalogue.json").read_bytes())
    good = json.loads((tmp_path / "good.json").read_bytes())
    (folder / "catalogue.json").write_bytes(data.draw(contents(good)))
    fresh = Library(folder)
    (entry,) = fresh.entries()
    assert (entry.title, entry.samples) == ("Alpha", 4)
    assert fresh.fingerprint() == fresh.snapshot().fingerprint
    assert len(fresh.snapshot().specifications) == 1


@given(data=st.data())
@settings(fuzzed, max_examples=40)
def test_any_files_json_is_only_a_cache(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.safetensors"
    cache = tmp_path / "files.json"
    if not path.exists():
        write_checkpoint(path, 1)
    index = FileIndex(tmp_path / "fresh.json")
    index.identity(path)
    index.save()
    cache.write_bytes(data.draw(contents({str(tmp_path / "gone"): [[1, 2, 3, 4], "quick:gone"]})))
    read = FileIndex(cache)
    assert read.identity(path) == quick_identity(path)
    read.save()
    assert FileIndex(cache).identity(path) == quick_identity(path)


BUILD = {"wanted": True, "names": ["a.safetensors"], "limit": 4, "pace": {"sd1": 1.5}}


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "optional_text_encoder", words_encoder)


@pytest.mark.usefixtures("words")
@given(raw=contents(BUILD))
@settings(fuzzed, max_examples=25)
def test_any_build_json_lets_the_host_start_and_build(tmp_path: Path, raw: bytes) -> None:
    models, folder = tmp_path / "models", tmp_path / "library"
    if not models.exists():
        models.mkdir()
        folder.mkdir()
        write_checkpoint(models / "a.safetensors", 1)
    (folder / "build.json").write_bytes(raw)
    running = start(models, folder, prompts=4)
    assert running.builds.state().state in ("idle", "paused")
    running.builds.seconds_per_sample("sd1")
    running.builds.resume()
    running.queue.run_all()
    assert running.queue.errors == []
    assert running.builds.state().state == "idle"


# -- everything in one folder at once -------------------------------------------------------------


@given(data=st.data())
@settings(fuzzed, max_examples=20)
def test_a_library_whose_files_are_all_damaged_still_lets_everybody_in(
    tmp_path: Path, data: st.DataObject
) -> None:
    folder = tmp_path / "library"
    library = Library(folder)
    for title in ("Alpha", "Beta"):
        library.add(make_specification(title))
    for path in library.specifications_folder.glob("*.safetensors"):
        broken = bytearray(path.read_bytes())
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= data.draw(st.integers(0, 255))
        path.write_bytes(broken)
    for name in ("settings", "favourites", "catalogue", "files", "build"):
        (folder / f"{name}.json").write_bytes(data.draw(contents({"version": 1, "names": []})))
    host = StandInHost(tmp_path / "models", folder)
    host.list_checkpoints()
    fresh = Library(folder)
    snapshot = fresh.snapshot()
    assert len(snapshot.specifications) + len(snapshot.excluded) <= 2
    stack(snapshot.specifications)
    Favourites(folder / "favourites.json").names()
    with only(PresetError):
        host.overrides.get("sha256:Alpha")
    with only(LibraryError, SpecificationError):
        fresh.extend(make_specification("Alpha", 1, first_prompt=8))
