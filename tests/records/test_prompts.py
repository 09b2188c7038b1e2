"""Prompt sets: the default one is what it promises, and a malformed one says what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCE_ROOT, prompt_set

from lib_gmi.base.errors import PromptSetError
from lib_gmi.records.prompts import Dialect, Prompt, PromptSet, default_prompt_set

DEFAULT = default_prompt_set()


# -- the default prompt set -----------------------------------------------------------------------


def test_the_default_set_has_55_prompts_with_ids_of_their_own() -> None:
    assert len(DEFAULT) == 55
    assert len(set(DEFAULT.ids)) == 55
    assert all(set(id_) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for id_ in DEFAULT.ids)


def test_nearly_half_of_the_default_prompts_show_people() -> None:
    people = [prompt for prompt in DEFAULT.prompts if "person" in prompt.topics]
    assert len(people) >= 22


def test_half_of_the_people_are_illustrations_or_anime() -> None:
    people = [prompt for prompt in DEFAULT.prompts if "person" in prompt.topics]
    drawn = [prompt for prompt in people if {"illustration", "anime"} & set(prompt.topics)]
    assert 2 * len(drawn) >= len(people)


def test_even_the_first_four_prompts_are_a_varied_set() -> None:
    topics = [set(prompt.topics) for prompt in DEFAULT.prompts[:4]]
    assert any("person" in t for t in topics)
    assert any("person" not in t for t in topics)
    assert any(t & {"anime", "illustration", "painting"} for t in topics)
    assert any("photo" in t for t in topics)


def test_no_two_default_prompts_say_the_same() -> None:
    for field in ("natural", "booru"):
        texts = {prompt.texts[field].casefold() for prompt in DEFAULT.prompts}
        assert len(texts) == 55


@pytest.mark.parametrize("dialect", sorted(DEFAULT.dialects))
def test_every_default_prompt_can_be_said_in_every_dialect(dialect: str) -> None:
    spec = DEFAULT.dialects[dialect]
    for prompt in DEFAULT.prompts:
        rendering = DEFAULT.render(prompt, dialect)
        assert rendering.text == spec.prefix + prompt.texts[spec.field]
        assert rendering.text == rendering.text.strip()
        assert len(rendering.text) > len(spec.prefix) + 20
        assert rendering.negative


def test_the_dialects_are_those_that_checkpoints_speak() -> None:
    assert {"natural", "booru", "pony"} <= set(DEFAULT.dialects)
    first = DEFAULT.prompts[0]
    assert DEFAULT.render(first, "pony").text.startswith("score_9, ")
    assert DEFAULT.render(first).text == first.text


@pytest.mark.parametrize("dialect", sorted(DEFAULT.dialects))
def test_every_dialect_keeps_results_safe_for_work(dialect: str) -> None:
    negative = DEFAULT.dialects[dialect].negative
    assert "nsfw" in negative
    assert "nude" in negative
    assert "child" in negative


# -- passes, looking up, rendering ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "passes"),
    [
        (1, (1,)),
        (3, (3,)),
        (4, (4,)),
        (5, (4, 5)),
        (8, (4, 8)),
        (16, (4, 8, 16)),
        (17, (4, 8, 16, 17)),
        (55, (4, 8, 16, 55)),
    ],
)
def test_passes_double_and_end_with_the_whole_set(count: int, passes: tuple[int, ...]) -> None:
    assert prompt_set(count).passes() == passes


def test_prompts_are_found_by_id() -> None:
    assert prompt_set(6).get("p03").text == "picture number 3"
    with pytest.raises(PromptSetError, match=r"'test' has no prompt 'p99'"):
        prompt_set(6).get("p99")


@pytest.mark.parametrize("dialect", ["klingon", ""])
def test_an_unknown_dialect_is_answered_with_the_known_ones(dialect: str) -> None:
    with pytest.raises(PromptSetError, match="it has natural"):
        prompt_set(2).render(prompt_set(2).prompts[0], dialect)


def test_a_prompt_without_words_for_a_dialect_is_named() -> None:
    prompts = replace(prompt_set(2), dialects={"booru": Dialect("booru", "", "")})
    with pytest.raises(PromptSetError, match="'p00'"):
        prompts.render(prompts.prompts[0], "booru")


# -- the hash -------------------------------------------------------------------------------------


def small() -> dict[str, Any]:
    """A small set as it is written in a file."""
    return {
        "name": "small",
        "version": "1",
        "dialects": {
            "natural": {"field": "natural", "prefix": "", "negative": "ugly"},
            "booru": {"field": "booru", "prefix": "masterpiece, ", "negative": "lowres"},
        },
        "prompts": [
            {"id": "cat", "natural": "A cat.", "booru": "cat", "topics": ["animal"]},
            {"id": "dog", "natural": "A dog.", "booru": "dog", "topics": ["animal"]},
        ],
    }


def loaded(tmp_path: Path, data: Any) -> PromptSet:
    """The data written to a file and read from it."""
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return PromptSet.load(path)


def _set(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_set("prompts", 0, "id", value="kitten"), id="an id"),
        pytest.param(_set("prompts", 1, "natural", value="A dog!"), id="a sentence"),
        pytest.param(_set("prompts", 1, "booru", value="dog, solo"), id="tags"),
        pytest.param(_set("dialects", "booru", "prefix", value=""), id="a prefix"),
        pytest.param(_set("dialects", "natural", "negative", value=""), id="a negative prompt"),
        pytest.param(_set("dialects", "booru", "field", value="natural"), id="a field"),
        pytest.param(lambda data: data["prompts"].reverse(), id="the order"),
        pytest.param(lambda data: data["prompts"].pop(), id="a prompt less"),
        pytest.param(lambda data: data["dialects"].pop("booru"), id="a dialect less"),
    ],
)
def test_the_hash_changes_with_everything_that_a_checkpoint_gets_to_see(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    before = loaded(tmp_path, small()).hash
    data = small()
    change(data)
    assert loaded(tmp_path, data).hash != before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_set("name", value="renamed"), id="the name"),
        pytest.param(_set("version", value="2"), id="the version"),
        pytest.param(_set("prompts", 0, "topics", value=["cute"]), id="topics"),
        pytest.param(
            lambda data: data.update(dialects=dict(reversed(data["dialects"].items()))),
            id="the order of the dialects",
        ),
    ],
)
def test_the_hash_does_not_change_with_what_no_checkpoint_sees(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    before = loaded(tmp_path, small()).hash
    data = small()
    change(data)
    assert loaded(tmp_path, data).hash == before


def test_the_hash_is_the_same_in_every_process() -> None:
    code = (
        "from lib_gmi.records.prompts import default_prompt_set; print(default_prompt_set().hash)"
    )
    hashes = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        environment["PYTHONPATH"] = os.pathsep.join((str(SOURCE_ROOT), *sys.path))
        command = [sys.executable, "-c", code]
        hashes.add(subprocess.check_output(command, env=environment, text=True).strip())
    assert hashes == {DEFAULT.hash}


# -- loading --------------------------------------------------------------------------------------


def test_a_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    prompts = loaded(tmp_path, small())
    assert (prompts.name, prompts.version, prompts.ids) == ("small", "1", ("cat", "dog"))
    assert prompts.get("cat").topics == ("animal",)
    assert prompts.render(prompts.get("dog"), "booru").text == "masterpiece, dog"


def test_a_set_that_only_speaks_in_tags_still_has_its_sentences(tmp_path: Path) -> None:
    """They are what people read and what is embedded, whatever the checkpoints are told."""
    data = small()
    del data["dialects"]["natural"]
    assert loaded(tmp_path, data).get("cat").text == "A cat."


def test_a_plain_list_is_a_set_named_after_its_folder(tmp_path: Path) -> None:
    (tmp_path / "landscapes").mkdir()
    rows = [{"id": "sea", "prompt": "The sea, größer als je."}]
    prompts = loaded(tmp_path / "landscapes", rows)
    assert (prompts.name, prompts.ids) == ("landscapes", ("sea",))
    assert prompts.render(prompts.prompts[0]).text == "The sea, größer als je."


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty file"),
        pytest.param("{", id="unfinished"),
        pytest.param("[" * 100_000, id="deeply nested"),
        pytest.param("\ufeffnonsense", id="text"),
        pytest.param("5", id="a number"),
        pytest.param("null", id="null"),
        pytest.param('"prompts"', id="a text"),
        pytest.param("{}", id="an empty object"),
        pytest.param("[]", id="an empty list"),
        pytest.param("[1, 2]", id="numbers"),
        pytest.param('[{"id": "a"}]', id="no prompt"),
        pytest.param('[{"prompt": "a"}]', id="no id"),
        pytest.param('[{"id": "", "prompt": "a"}]', id="empty id"),
        pytest.param('[{"id": "a", "prompt": " "}]', id="empty prompt"),
        pytest.param('[{"id": "a", "prompt": null}]', id="prompt is null"),
        pytest.param('[{"id": null, "prompt": "a"}]', id="id is null"),
        pytest.param('[{"id": "a", "prompt": ["a"]}]', id="prompt is a list"),
        pytest.param('[{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}]', id="id twice"),
        pytest.param('{"name": "n", "version": "1", "prompts": []}', id="no dialects"),
        pytest.param(json.dumps({**small(), "prompts": []}), id="no prompts"),
        pytest.param(json.dumps({**small(), "prompts": 5}), id="prompts is a number"),
        pytest.param(json.dumps({**small(), "dialects": []}), id="dialects is a list"),
        pytest.param(json.dumps({**small(), "dialects": {}}), id="no dialect at all"),
        pytest.param(
            json.dumps({**small(), "dialects": {"natural": {"field": "natural"}}}),
            id="half a dialect",
        ),
        pytest.param(
            json.dumps({**small(), "prompts": [{"id": "a", "natural": "x"}]}),
            id="no words for a dialect",
        ),
    ],
)
def test_a_file_that_is_no_prompt_set_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PromptSetError) as caught:
        PromptSet.load(path)
    assert "prompts.json" in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(PromptSetError, match=r"nowhere\.json.*cannot be read"):
        PromptSet.load(tmp_path / "nowhere.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(PromptSetError, match=r"binary\.json"):
        PromptSet.load(tmp_path / "binary.json")


@pytest.mark.parametrize(
    "prompts",
    [
        (),
        (Prompt("a", {"natural": "x"}), Prompt("a", {"natural": "y"})),
        (Prompt("", {"natural": "x"}),),
        (Prompt("a", {"booru": "x"}),),
    ],
)
def test_a_set_that_makes_no_sense_cannot_be_made(prompts: tuple[Prompt, ...]) -> None:
    with pytest.raises(PromptSetError, match="'mine'"):
        PromptSet("mine", "1", prompts)
