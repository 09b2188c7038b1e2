"""Specifications and their file: nothing is lost on the way, and nothing damaged is believed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from conftest import TINY, WORDS, assert_same_specification, make_specification, part_of

from lib_gmi.base.errors import SchemaVersionError, SpecificationError
from lib_gmi.ranking.stack import stack
from lib_gmi.records import specification_file as module
from lib_gmi.records.protocols import Candidate, GenerationSettings
from lib_gmi.records.specification import (
    CandidateRef,
    PromptSetRef,
    Rejection,
    Requirement,
    Specification,
)
from lib_gmi.records.specification_file import from_bytes, to_bytes

SETTINGS = GenerationSettings(
    width=1024,
    height=768,
    steps=28,
    cfg=6.5,
    sampler="DPM++ 2M",
    scheduler="karras",
    clip_skip=2,
    vae="vae-ft-mse",
    dialect="pony",
    negative="low quality, „schlecht“, 低质量",
    codec="webp90-512",
    extra={"hires": {"scale": 1.5}, "rng": "cpu"},
)


def full() -> Specification:
    """A specification in which every field says something."""
    return make_specification(
        "Grüße 模型 \x1b[31m",
        prompts=5,
        candidate=CandidateRef("sha256:abc", "Grüße 模型 \x1b[31m", "a/b.ckpt", 7, "sdxl", 3),
        prompt_set=PromptSetRef("gmi-default", "2", "abcdef", 55),
        settings=SETTINGS,
        rejected=(Rejection("p09", 1009, "black"),),
        updated=1712345678.25,
        extra={"from_the_future": {"a": [1, None, "x"]}},
    )


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """A file's header and its tensors' bytes."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: dict[str, Any], tensors: bytes) -> bytes:
    """A file out of what :func:`parts` gave."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def with_description(data: bytes, description: Any) -> bytes:
    """The file with another JSON description."""
    header, tensors = parts(data)
    header["__metadata__"]["gmi.specification"] = json.dumps(description)
    return joined(header, tensors)


def description_of(data: bytes) -> dict[str, Any]:
    """The file's JSON description."""
    return dict(json.loads(parts(data)[0]["__metadata__"]["gmi.specification"]))


# -- round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "specification",
    [
        pytest.param(make_specification(), id="plain"),
        pytest.param(make_specification(text_dim=None), id="without prompt embeddings"),
        pytest.param(make_specification(prompts=0), id="empty"),
        pytest.param(make_specification(prompts=0, text_dim=None), id="empty, no embeddings"),
        pytest.param(full(), id="every field filled"),
    ],
)
def test_writing_and_reading_gives_back_exactly_the_same(specification: Specification) -> None:
    read = from_bytes(to_bytes(specification))
    assert_same_specification(read, specification)
    assert read.key == specification.key


def test_the_same_specification_always_makes_the_same_file() -> None:
    """The library's fingerprint hangs on it: fitted state must not be thrown away for nothing."""
    assert len({to_bytes(full()) for _ in range(20)}) == 1


def test_features_are_on_the_grid_of_float16_before_they_are_saved() -> None:
    """So a specification ranks the same before and after it was saved."""
    specification = make_specification(seed=3)
    assert specification.features.dtype == np.float32
    on_grid = specification.features.astype(np.float16).astype(np.float32)
    assert np.array_equal(specification.features, on_grid)
    assert parts(to_bytes(specification))[0]["features"]["dtype"] == "F16"


def test_arrays_of_a_specification_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        make_specification().features[0, 0] = 1


def of_a_newer_minor_version() -> bytes:
    """A file with keys and an array that this version does not know."""
    later = replace(full(), minor=7, extra_tensors={"masks": np.eye(3, dtype=np.float32)})
    data = to_bytes(later)
    description = description_of(data)
    description["invented_later"] = {"x": [1, 2]}
    for part in ("candidate", "prompt_set", "settings"):
        description[part]["also_later"] = True
    return with_description(data, description)


def test_what_a_newer_minor_version_added_is_kept_when_the_file_is_written_again() -> None:
    data = of_a_newer_minor_version()
    read = from_bytes(data)
    again = to_bytes(read)
    assert description_of(again) == description_of(data)
    assert parts(again)[0]["__metadata__"]["gmi.schema"] == "1.7"
    assert "masks" in parts(again)[0]
    assert np.array_equal(read.features, full().features)
    assert read.settings.extra == SETTINGS.extra


def test_keys_of_a_newer_minor_version_survive_more_samples() -> None:
    older = make_specification(extra={"invented_later": 1})
    assert older.merged(make_specification(first_prompt=4)).extra == {"invented_later": 1}


def test_a_newer_major_version_is_refused_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SCHEMA", (2, 0))
    data = to_bytes(full())
    monkeypatch.undo()
    with pytest.raises(SchemaVersionError, match=r"newer version.*2\.2.*Update") as caught:
        from_bytes(data, "my-file.safetensors")
    assert "my-file.safetensors" in str(caught.value)


# -- partial specifications -----------------------------------------------------------------------


def test_a_selection_is_a_specification_of_fewer_prompts() -> None:
    whole = make_specification(
        prompts=6, rejected=(Rejection("p07", 1007, "black"), Rejection("p08", 1008, "flat"))
    )
    part = part_of(whole, ["p05", "p01", "p08", "unknown"])
    assert part.prompt_ids == ("p01", "p05")
    assert part.seeds == (1001, 1005)
    assert np.array_equal(part.features, whole.features[[1, 5]])
    assert part.prompt_embeddings is not None
    assert whole.prompt_embeddings is not None
    assert np.array_equal(part.prompt_embeddings, whole.prompt_embeddings[[1, 5]])
    assert part.rejected == (Rejection("p08", 1008, "flat"),)
    assert part.key == whole.key


def test_a_whole_can_be_taken_apart_and_put_together_again() -> None:
    whole = make_specification(prompts=8)
    first, second = part_of(whole, whole.prompt_ids[:3]), part_of(whole, whole.prompt_ids[3:])
    assert_same_specification(first.merged(second), whole)


def test_merging_keeps_what_was_there_and_adds_only_what_is_missing() -> None:
    ours = make_specification(prompts=4, seed=1, updated=10.0)
    theirs = make_specification(prompts=6, seed=2, updated=5.0)
    merged = ours.merged(theirs)
    assert merged.prompt_ids == theirs.prompt_ids
    assert np.array_equal(merged.features[:4], ours.features)
    assert np.array_equal(merged.features[4:], theirs.features[4:])
    assert merged.updated == 10.0


def test_several_seeds_of_one_prompt_are_kept_side_by_side() -> None:
    once = make_specification(prompts=2)
    again = replace(once, seeds=(7, 8))
    assert once.merged(again).prompt_ids == ("p00", "p01", "p00", "p01")


def test_merging_joins_rejections_without_repeating_them() -> None:
    black, flat = Rejection("p00", 1, "black"), Rejection("p01", 2, "flat")
    left = make_specification(prompts=0, rejected=(black,))
    merged = left.merged(make_specification(prompts=0, rejected=(black, flat)))
    assert merged.rejected == (black, flat)
    assert merged.done == {"p00", "p01"}


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder_id": "other"},
        {"settings": GenerationSettings(steps=4)},
        {"settings": GenerationSettings(codec="webp90-512")},
        {"prompt_set": PromptSetRef("test", "2", "hash-2", 20)},
        {"candidate": CandidateRef("sha256:other", "Alpha", "Alpha.safetensors")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_was_built_differently_is_never_merged(changes: dict[str, Any]) -> None:
    with pytest.raises(SpecificationError, match="built differently"):
        make_specification().merged(make_specification(first_prompt=4, **changes))


def test_embeddings_of_different_text_encoders_are_never_mixed() -> None:
    """They can be computed again, so they are left out; the samples are what must not be lost."""
    ours = make_specification(prompts=3, text_dim=4)
    theirs = make_specification(prompts=2, first_prompt=3, text_dim=7, text_encoder_id="other")
    merged = ours.merged(theirs)
    assert len(merged) == 5
    assert merged.prompt_embeddings is None
    assert merged.text_encoder_id is None


@pytest.mark.parametrize(("left", "right"), [(8, None), (None, 8), (8, 8), (None, None)])
def test_specifications_without_rows_can_be_merged(left: int | None, right: int | None) -> None:
    """Two builds whose first image was broken: one with a text encoder, one without."""
    merged = make_specification(prompts=0, text_dim=left).merged(
        make_specification(prompts=0, text_dim=right)
    )
    assert len(merged) == 0
    assert (merged.text_encoder_id is None) == (merged.prompt_embeddings is None)


def test_a_row_without_an_embedding_takes_that_of_its_prompt() -> None:
    ours = make_specification(prompts=3)
    again = replace(make_specification(prompts=3, seed=5, text_dim=None), seeds=(1, 2, 3))
    for merged in (ours.merged(again), again.merged(ours)):
        assert merged.prompt_embeddings is not None
        assert np.array_equal(merged.prompt_embeddings[:3], merged.prompt_embeddings[3:])


def test_features_of_different_lengths_are_never_merged() -> None:
    with pytest.raises(SpecificationError):
        make_specification(dim=6).merged(make_specification(dim=7, first_prompt=4))


# -- what makes a specification valid -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "explanation"),
    [
        ({"prompt_ids": ("p00", "p01", "p02", "p00"), "seeds": (1, 1, 1, 1)}, "occur twice"),
        ({"features": np.full((4, 6), np.nan)}, "not finite"),
        ({"features": np.full((4, 6), -np.inf)}, "not finite"),
        ({"features": np.full((4, 6), 70_000.0)}, "float16"),
        ({"features": np.zeros((4, 0))}, "shape"),
        ({"features": np.zeros(4)}, "shape"),
        ({"features": np.zeros((3, 6))}, "3 rows"),
        ({"seeds": (1, 2, 3)}, "3 seeds"),
        ({"prompt_embeddings": np.full((4, 3), 1e6)}, "prompt embeddings"),
        ({"prompt_embeddings": np.zeros((5, 3))}, "5 prompt embeddings"),
        ({"prompt_embeddings": None}, "go together"),
        ({"text_encoder_id": None}, "go together"),
    ],
)
def test_an_invalid_specification_cannot_be_made(changes: dict[str, Any], explanation: str) -> None:
    with pytest.raises(SpecificationError, match=explanation) as caught:
        make_specification("Alpha", **changes)
    assert "Alpha" in str(caught.value), "the message names the candidate"


@pytest.mark.parametrize(
    ("features", "changes"),
    [
        (np.zeros((0, 3), np.float32), {}),
        (np.zeros(3, np.float32), {}),
        (np.zeros((1, 3), np.float32), {"prompt_embedding": np.zeros(2, np.float32)}),
        (np.zeros((1, 3), np.float32), {"text_encoder_id": WORDS}),
    ],
)
def test_an_invalid_requirement_cannot_be_made(
    features: np.ndarray, changes: dict[str, Any]
) -> None:
    with pytest.raises(SpecificationError):
        Requirement(features, TINY, **changes)


def test_two_broken_samples_make_a_candidate_suspect_and_one_does_not() -> None:
    black, flat = Rejection("p08", 8, "black"), Rejection("p09", 9, "flat")
    assert make_specification(rejected=(black,)).suspect is None
    assert make_specification(rejected=(black, flat)).suspect == "2 broken samples (black, flat)"


def test_the_key_tells_apart_what_must_not_be_mixed_and_ignores_titles() -> None:
    plain = make_specification()
    renamed = replace(plain, candidate=replace(plain.candidate, title="New title"))
    assert renamed.key == plain.key
    keys = {
        plain.key,
        make_specification("Beta").key,
        make_specification(encoder_id="other").key,
        make_specification(settings=GenerationSettings(steps=4)).key,
        make_specification(settings=GenerationSettings(extra={"tiling": True})).key,
        make_specification(prompt_set=PromptSetRef("test", "1", "other", 20)).key,
    }
    assert len(keys) == 6


def test_a_reference_to_a_candidate_keeps_all_that_is_known_of_it() -> None:
    candidate = Candidate("T", "sha256:1", "t.ckpt", size=9, architecture="sdxl", popularity=2)
    assert CandidateRef.of(candidate) == CandidateRef("sha256:1", "T", "t.ckpt", 9, "sdxl", 2)


# -- damaged and hostile files --------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00" * 7, id="shorter than its own length"),
        pytest.param(b"\xff" * 64, id="absurd length"),
        pytest.param(b"just some text, nothing else", id="text"),
        pytest.param((2).to_bytes(8, "little") + b"{}", id="no metadata"),
        pytest.param((2).to_bytes(8, "little") + b"[]", id="a list"),
        pytest.param((9).to_bytes(8, "little") + b"[" * 9, id="unfinished JSON"),
        pytest.param((90_000).to_bytes(8, "little") + b"[" * 90_000, id="deeply nested JSON"),
    ],
)
def test_a_file_that_is_no_specification_is_named(data: bytes) -> None:
    with pytest.raises(SpecificationError, match=r"^here\.safetensors: "):
        from_bytes(data, "here.safetensors")


def _header(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header["features"].update({key: value})


def _metadata(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header["__metadata__"].update({key: value})


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda header: header.pop("features"), id="no features"),
        pytest.param(_header("dtype", "F32"), id="other type"),
        pytest.param(_header("dtype", "I16"), id="integers"),
        pytest.param(_header("dtype", "F8_E4M3"), id="type unknown to NumPy"),
        pytest.param(_header("shape", [4, 10**9]), id="absurd shape"),
        pytest.param(_header("shape", [10**18, 10**18]), id="shape that overflows"),
        pytest.param(_header("shape", [-1, 30]), id="negative shape"),
        pytest.param(_header("shape", [120]), id="one axis"),
        pytest.param(_header("data_offsets", [0, 10**9]), id="offsets outside"),
        pytest.param(_header("data_offsets", [10, 0]), id="offsets backwards"),
        pytest.param(_metadata("gmi.schema", "x.y"), id="schema is no number"),
        pytest.param(_metadata("gmi.schema", ""), id="empty schema"),
        pytest.param(_metadata("gmi.schema", 1), id="schema is no text"),
        pytest.param(_metadata("gmi.schema", "9" * 5000), id="schema of 5,000 digits"),
        pytest.param(_metadata("gmi.specification", "{"), id="unfinished description"),
        pytest.param(_metadata("gmi.specification", "[]"), id="description is a list"),
        pytest.param(_metadata("gmi.specification", "[" * 90_000), id="nested description"),
        pytest.param(_metadata("gmi.specification", {}), id="description is no text"),
        pytest.param(lambda header: header["__metadata__"].clear(), id="no metadata"),
        pytest.param(lambda header: header.update(__metadata__=[]), id="metadata is a list"),
    ],
)
def test_a_mangled_header_is_refused(damage: Callable[[dict[str, Any]], object]) -> None:
    header, tensors = parts(to_bytes(make_specification()))
    damage(header)
    with pytest.raises(SpecificationError, match=r"^here\.safetensors: "):
        from_bytes(joined(header, tensors), "here.safetensors")


def test_numbers_that_are_not_finite_in_a_file_are_refused() -> None:
    header, tensors = parts(to_bytes(make_specification()))
    broken = np.frombuffer(tensors, np.float16).copy()
    broken[3] = np.nan
    with pytest.raises(SpecificationError, match="not finite"):
        from_bytes(joined(header, broken.tobytes()))


def assert_valid(specification: Specification) -> None:
    """What the rest of the program relies on, type by type."""
    texts = [specification.encoder_id, *specification.prompt_ids]
    texts += [specification.candidate.identity, specification.candidate.title]
    texts += [specification.candidate.name, specification.prompt_set.hash]
    assert all(isinstance(text, str) for text in texts)
    assert specification.text_encoder_id is None or isinstance(specification.text_encoder_id, str)
    assert all(type(seed) is int for seed in specification.seeds)
    assert isinstance(specification.updated, float)
    assert np.isfinite(specification.updated)
    assert specification.features.dtype == np.float32
    assert np.isfinite(specification.features).all()
    assert len(specification.prompt_ids) == len(specification.seeds) == len(specification.features)
    # it can be listed, filed under its key, ranked, and written again
    json.dumps(specification.describe()).encode()
    specification.key.encode()
    stack([specification])
    again = from_bytes(to_bytes(specification))
    assert again.key == specification.key
    assert np.array_equal(again.features, specification.features)


def read_or_refused(data: bytes) -> bool:
    """Whether a file was read; anything but a valid specification or the right error fails."""
    try:
        specification = from_bytes(data, "fuzzed")
    except SpecificationError:
        return False
    assert_valid(specification)
    return True


def _damaged(rng: random.Random, data: bytes) -> bytes:
    """One of: bytes flipped anywhere, or in the header only; the end cut off; a piece moved."""
    broken = bytearray(data)
    header = 8 + int.from_bytes(data[:8], "little")
    kind = rng.randrange(4)
    if kind < 2:
        for _ in range(rng.choice((1, 1, 2, 8, 32))):
            position = rng.randrange(header if kind == 0 else len(broken))
            broken[position] = rng.choice((rng.randrange(256), rng.choice(b'0123456789"{}[],:-e')))
    elif kind == 2:
        del broken[rng.randrange(len(broken)) :]
    else:
        start, target = rng.randrange(len(broken)), rng.randrange(len(broken))
        piece = broken[start : start + rng.randrange(1, 60)]
        broken[target : target + len(piece)] = piece
    return bytes(broken)


def test_200_damaged_files_are_either_read_as_valid_specifications_or_refused() -> None:
    rng = random.Random(7)
    samples = [to_bytes(full()), to_bytes(make_specification(prompts=6, dim=3))]
    read = sum(read_or_refused(_damaged(rng, rng.choice(samples))) for _ in range(200))
    assert 10 < read < 190, "the damage should be neither always fatal nor never"


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    if path:
        yield path
    if not isinstance(value, dict | list):
        return
    children = value if isinstance(value, dict) else dict(enumerate(value))
    for key, child in children.items():
        yield from _paths(child, (*path, key))


def _swapped(description: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(description))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return dict(copy)


#: No field is prepared for all of these.
SURPRISES = (
    None, True, -1, 0, 2.5, 10**400, float("nan"), float("inf"), "", "text", "\0",
    [], [1], {}, {"a": 1}, [[[]]],
)  # fmt: skip


@pytest.mark.parametrize(
    "path", list(_paths(full().describe())), ids=lambda path: ".".join(map(str, path))
)
def test_a_surprising_type_in_any_field_is_either_harmless_or_refused(
    path: tuple[Any, ...],
) -> None:
    data = to_bytes(full())
    description = description_of(data)
    for surprise in SURPRISES:
        read_or_refused(with_description(data, _swapped(description, path, surprise)))


@pytest.mark.parametrize(
    "path",
    [
        ("candidate", "identity"),
        ("candidate", "title"),
        ("encoder_id",),
        ("text_encoder_id",),
        ("prompt_ids", 0),
        ("prompt_set", "hash"),
        ("settings", "codec"),
        ("settings", "extra", "rng"),
        ("from_the_future",),
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_text_that_cannot_be_written_again_is_refused(path: tuple[Any, ...]) -> None:
    """JSON can smuggle in half a surrogate pair, which no file and no terminal takes."""
    data = to_bytes(full())
    read_or_refused(with_description(data, _swapped(description_of(data), path, "\ud800")))


@pytest.mark.parametrize("seed", [True, 2.5, "7", None])
def test_a_seed_that_is_no_integer_is_refused(seed: Any) -> None:
    data = to_bytes(make_specification())
    description = _swapped(description_of(data), ("seeds", 0), seed)
    with pytest.raises(SpecificationError):
        from_bytes(with_description(data, description))


@pytest.mark.parametrize(("field", "text"), [("prompt_ids", "abcd"), ("seeds", "1234")])
def test_a_text_is_not_taken_for_a_list(field: str, text: str) -> None:
    data = to_bytes(make_specification(prompts=4))
    description = {**description_of(data), field: text}
    with pytest.raises(SpecificationError):
        from_bytes(with_description(data, description))


@pytest.mark.parametrize(
    "field", ["candidate", "encoder_id", "prompt_ids", "seeds", "prompt_set", "settings"]
)
def test_a_missing_field_is_refused_by_name(field: str) -> None:
    data = to_bytes(full())
    description = description_of(data)
    del description[field]
    with pytest.raises(SpecificationError, match=field):
        from_bytes(with_description(data, description))


@pytest.mark.parametrize("field", ["rejected", "updated"])
def test_a_field_that_can_be_missing_is_not_missed(field: str) -> None:
    data = to_bytes(full())
    description = description_of(data)
    del description[field]
    read = from_bytes(with_description(data, description))
    assert read.prompt_ids == full().prompt_ids


@pytest.mark.parametrize("depth", [50, 400, 900, 5000])
def test_deep_nesting_in_free_fields_never_overflows(depth: int) -> None:
    nested: Any = 1
    for _ in range(depth):
        nested = [nested]
    text = json.dumps(full().describe()).replace(
        '"from_the_future"', f'"deep": {"[" * depth}{"]" * depth}, "from_the_future"'
    )
    text = text.replace('"rng"', f'"deep": {"[" * depth}{"]" * depth}, "rng"')
    header, tensors = parts(to_bytes(full()))
    header["__metadata__"]["gmi.specification"] = text
    read_or_refused(joined(header, tensors))


def test_the_types_of_all_fields_are_known() -> None:
    """A field without a type would be dropped when a file is read."""
    for kind, types in module._FIELDS.items():
        assert types.keys() | {"unknown"} >= {each.name for each in fields(kind)}
