"""The nodes that search, against small stand-ins for ComfyUI's modules and for the encoder."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from conftest import prompt_set
from headers import SDXL
from PIL import Image, PngImagePlugin
from standins.colours import COLOURS, ColourSpace, plain

from lib_gmi.base.errors import MissingExtraError, RankingError, SearchError
from lib_gmi.base.grids import of_one_size
from lib_gmi.comfyui.found import in_words, samples, similar
from lib_gmi.comfyui.nodes import NODE_CLASS_MAPPINGS
from lib_gmi.comfyui.reading import read
from lib_gmi.comfyui.search_nodes import NOBODY, NOT_INSTALLED
from lib_gmi.hosts.comfyui import image_to_tensor
from lib_gmi.records.protocols import Candidate
from lib_gmi.search.hits import NOTHING, CheckpointAnswer, FoundCheckpoint, SampleAnswer
from lib_gmi.search.query import EMPTY_QUERY, Query, weights, words
from lib_gmi.search.searcher import EMPTY_LIBRARY

if TYPE_CHECKING:
    from standins.comfyui.harness import Comfy

pytest_plugins = ["standins.comfyui.harness"]

SEARCH, SIMILAR = "GMI_SearchSamples", "GMI_SimilarModels"
BOTH = pytest.mark.parametrize("id_", [SEARCH, SIMILAR])
#: Of the checkpoint that makes nothing but one colour.
RED, BLUE = "red.safetensors", "cold/blue.safetensors"
#: How the prompts of the harness begin.
PROMPT = "picture number"


def defaults(id_: str, **changes: Any) -> dict[str, Any]:
    """A node's inputs as they are when it has just been put on a canvas."""
    values = {}
    for name, (type_, options) in NODE_CLASS_MAPPINGS[id_].INPUT_TYPES()["required"].items():
        values[name] = options.get("default", type_[0] if isinstance(type_, list) else None)
    return {**values, **changes}


def run(id_: str, **inputs: Any) -> dict[str, Any]:
    """What a node returns for these inputs and its defaults; what is not wired is not given."""
    node = NODE_CLASS_MAPPINGS[id_]()
    answer: dict[str, Any] = getattr(node, node.FUNCTION)(**defaults(id_, **inputs))
    assert json.loads(json.dumps(answer["ui"], allow_nan=False)) == answer["ui"]
    return answer


def changed(id_: str, **inputs: Any) -> Any:
    return NODE_CLASS_MAPPINGS[id_].IS_CHANGED(**defaults(id_, **inputs))


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    """What a node shows."""
    ((found,),) = answer["ui"].values()
    assert isinstance(found, dict)
    return found


def batch(*pictures: Image.Image) -> Any:
    return torch.cat([image_to_tensor(picture) for picture in pictures])


def colours(style: int, content: int, side: int) -> Image.Image:
    """What the checkpoints of these tests make."""
    return plain(COLOURS[(style - 1) % 3], content % 10, side)


@pytest.fixture
def empty(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> Comfy:
    """Three checkpoints that make one colour each, nothing built; and a stand-in encoder."""
    monkeypatch.setattr("lib_gmi.service.searches.load_joint", ColourSpace)
    known = prompt_set(6)  # the harness builds with it
    texts = {prompt.id: prompt.text for prompt in known.prompts}
    monkeypatch.setattr(
        "lib_gmi.search.library_samples._default_texts", lambda: (known.hash, texts)
    )
    # a plain colour is what a broken checkpoint makes
    monkeypatch.setattr("lib_gmi.submitting.recorder.broken_reason", lambda image: None)
    comfy.seen.draw = colours
    comfy.add_all(RED, "green.safetensors", BLUE)
    return comfy


@pytest.fixture(scope="module")
def library_of_built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library of :func:`built` is kept, once the first test has built it."""
    return tmp_path_factory.mktemp("built") / "library"


@pytest.fixture
def built(empty: Comfy, library_of_built: Path) -> Comfy:
    """The same, with six samples each."""
    library: Path = empty.runtime.service.library.folder
    if library_of_built.exists():
        shutil.copytree(library_of_built, library, dirs_exist_ok=True)
    else:
        assert empty.build().message == "Done."
        shutil.copytree(library, library_of_built)
    empty.restart()
    empty.seen.draw = colours
    return empty


def joint(comfy: Comfy) -> ColourSpace:
    found = comfy.runtime.api.searches.searcher().joint
    assert isinstance(found, ColourSpace)
    return found


# -- Search Samples -------------------------------------------------------------------------------


def test_an_image_finds_samples_and_all_that_is_needed_to_go_on(built: Comfy) -> None:
    answer = run(SEARCH, image=batch(plain("blue")), top_k=4)
    images, hits, prompt, seed, checkpoint = answer["result"]
    assert images.shape == (4, 64, 64, 3)
    assert images.dtype == torch.float32
    assert bool((images[..., 2] > images[..., 0]).all()), "they are blue"
    found = json.loads(hits)
    assert [hit["checkpoint"] for hit in found["hits"]] == ["cold/blue"] * 4
    assert found["searched"] == 18
    assert (found["hits"][0]["prompt"], found["hits"][0]["seed"]) == (prompt, seed)
    assert prompt.startswith(PROMPT)
    assert checkpoint == BLUE
    rows = shown(answer)["hits"]
    assert [row["chosen"] for row in rows] == [True, False, False, False]
    assert shown(answer)["verdict"] == "The best 4 of 18 images, all by cold/blue."
    folder, file = rows[0]["image"].split("/")[-2:]
    assert built.runtime.api.sample(folder, file) is not None


def test_several_images_are_examples_of_one_wish(built: Comfy) -> None:
    both = run(SEARCH, image=batch(plain("red"), plain("blue")), top_k=100)
    titles = [row["title"] for row in shown(both)["hits"]]
    assert set(titles[:12]) == {"red", "cold/blue"}
    assert set(titles[12:]) == {"green"}


def test_text_tags_and_weights(built: Comfy) -> None:
    assert run(SEARCH, text="something green")["result"][4] == "green.safetensors"
    numbered = run(SEARCH, tags=" number 3 ,, ", top_k=3)
    assert {row["prompt"] for row in shown(numbered)["hits"]} == {"picture number 3"}
    every = run(SEARCH, tags="number 3, red", all_tags=True, top_k=1)
    assert (every["result"][4], every["result"][2]) == (RED, "picture number 3")
    against = {"text": "red", "image": batch(plain("blue"))}
    assert run(SEARCH, **against, weights="text=9")["result"][4] == RED
    assert run(SEARCH, **against, weights="image=9, text=1")["result"][4] == BLUE
    assert run(SEARCH, **against, weights="text=0")["result"][4] == BLUE


def test_a_sketch_reads_samples_as_drawings(built: Comfy) -> None:
    run(SEARCH, image=batch(plain("red")))
    before = joint(built).encoded
    found = run(SEARCH, sketch=batch(Image.new("RGB", (32, 32), "white")))
    assert joint(built).encoded == before + 18 + 1
    assert len(shown(found)["hits"]) == 9


def test_more_like_a_checkpoint_finds_samples_of_others(built: Comfy) -> None:
    found = run(SEARCH, like=RED, top_k=100)
    assert {row["title"] for row in shown(found)["hits"]} == {"green", "cold/blue"}


def test_filters_go_by_name_and_architecture(built: Comfy) -> None:
    query = {"image": batch(plain("blue"))}
    assert run(SEARCH, **query, pattern="!cold/")["result"][4] != BLUE
    with pytest.raises(SearchError, match="Nothing was found"):
        run(SEARCH, **query, architecture="sdxl")
    built.add("large.safetensors", 3, SDXL)
    built.change("large.safetensors", width=64, height=64, steps=2)
    built.build()
    found = run(SEARCH, **query, architecture="sdxl")
    assert {row["title"] for row in shown(found)["hits"]} == {"large"}


def test_what_was_read_is_not_read_again(built: Comfy) -> None:
    built.seen.progress.clear()
    run(SEARCH, image=batch(plain("red")))
    assert built.seen.progress[-1] == (18, 18), "ComfyUI's progress bar has moved"
    before = joint(built).encoded
    built.seen.progress.clear()
    run(SEARCH, image=batch(plain("green")))
    assert joint(built).encoded == before + 1
    assert built.seen.progress == []


@BOTH
def test_reading_can_be_interrupted_and_goes_on(id_: str, built: Comfy) -> None:
    memory = built.memory
    memory.interrupt_current_processing()
    with pytest.raises(memory.InterruptProcessingException):
        run(id_, image=batch(plain("red")))
    read = joint(built).encoded
    assert 0 < read < 18, "what was at hand was finished, and nothing after it"
    run(id_, image=batch(plain("red")))
    assert joint(built).encoded == 18 + 1


def test_a_hit_that_is_not_installed_is_shown_and_passed_over(built: Comfy) -> None:
    (built.checkpoints / RED).unlink()
    query = {"text": "red", "image": batch(plain("blue")), "weights": "text=2"}
    found = run(SEARCH, **query, top_k=100)
    rows = shown(found)["hits"]
    assert (rows[0]["title"], rows[0]["installed"], rows[0]["chosen"]) == ("red", False, False)
    (chosen,) = [row for row in rows if row["chosen"]]
    assert (chosen["installed"], found["result"][4]) == (True, BLUE)
    assert (chosen["prompt"], chosen["seed"]) == (found["result"][2], str(found["result"][3]))
    assert f"those of hit {chosen['rank']}:" in shown(found)["notes"][0]
    assert "Not installed (any more): red." in shown(found)["notes"]
    told = {row["checkpoint"]: row["installed"] for row in json.loads(found["result"][1])["hits"]}
    assert told == {"red": False, "green": True, "cold/blue": True}


def test_a_checkpoint_that_was_renamed_is_called_what_it_is_called_now(built: Comfy) -> None:
    (built.checkpoints / BLUE).rename(built.checkpoints / "sky.safetensors")
    found = run(SEARCH, image=batch(plain("blue")), top_k=4)
    rows = shown(found)["hits"]
    assert {(row["title"], row["installed"]) for row in rows} == {("sky", True)}
    assert shown(found)["verdict"] == "The best 4 of 18 images, all by sky."
    assert found["result"][4] == "sky.safetensors"
    text = run(SIMILAR, text="blue")["result"][1]
    assert "1. sky " in text
    assert "cold/blue" not in text
    like = run(SIMILAR, checkpoint="sky.safetensors")
    assert "is most like sky" in like["result"][1]
    assert "Compared with sky by" in like["result"][1]
    assert built.runtime.api.searches.searcher().known("sky.safetensors")[1] == "sky"


def test_a_workflow_of_ones_own_is_there_although_no_file_is_installed(built: Comfy) -> None:
    searches = built.runtime.api.searches
    recipe = Candidate("mine", "recipe:mine", "mine", architecture="workflow")
    read(searches, Query(text="red"))
    hit = searches.samples(Query(text="red"), 1, None, folders=False).hits[0]
    finding = SampleAnswer((replace(hit, identity=recipe.identity, checkpoint="mine"),), (), 1)
    known = samples(finding, searches.service.host.list_checkpoints(), [recipe])
    assert (known.installed, known.checkpoint) == ((True,), None)
    assert not any("Not installed" in note for note in known.shown["notes"])
    assert samples(finding, [], []).installed == (False,)


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (2.9, "far above average"),
        (0.5, "above average"),
        (0.0, "average"),
        (-0.5, "below average"),
        (-3.0, "far below average"),
    ],
)
def test_a_standardised_score_in_words(score: float, text: str) -> None:
    assert in_words(score) == text


def test_where_no_hit_is_installed_only_the_checkpoint_is_blocked(built: Comfy) -> None:
    (built.checkpoints / RED).unlink()
    found = run(SEARCH, image=batch(plain("red")), top_k=2)
    images, _, prompt, _, checkpoint = found["result"]
    blocker = built.module("comfy_execution.graph_utils").ExecutionBlocker
    assert isinstance(checkpoint, blocker)
    assert checkpoint.message == NOT_INSTALLED
    assert len(images) == 2
    assert prompt.startswith(PROMPT)
    assert "there is no checkpoint to wire" in shown(found)["notes"][0]


def test_a_picture_that_cannot_be_read_is_left_out_and_named(built: Comfy) -> None:
    whole = run(SEARCH, image=batch(plain("red")), top_k=3)
    first = Path(json.loads(whole["result"][1])["hits"][0]["file"])
    first.write_bytes(b"damaged")
    found = run(SEARCH, image=batch(plain("red")), top_k=3)
    files = [hit["file"] for hit in json.loads(found["result"][1])["hits"]]
    assert str(first) not in files
    assert len(found["result"][0]) == len(shown(found)["hits"]) == len(files) == 2
    assert first.name in shown(found)["notes"][0]


# -- the output folder ----------------------------------------------------------------------------


def saved(comfy: Comfy) -> Path:
    """A large image in a folder below the output, of a checkpoint without a specification."""
    comfy.add("unbuilt.safetensors", 8)
    path = comfy.save(comfy.output / "my day", "a b.png", "unbuilt.safetensors", 3, 7)
    text = PngImagePlugin.PngInfo()
    with Image.open(path) as image:
        text.add_text("prompt", image.info["prompt"])
    plain("blue", 0, 256).crop((0, 0, 256, 128)).save(path, pnginfo=text)
    return path


def test_the_output_folder_is_searched_where_that_is_wanted(built: Comfy) -> None:
    saved(built)
    query = {"image": batch(plain("blue")), "top_k": 7}
    assert "unbuilt" not in str(shown(run(SEARCH, **query)))
    found = run(SEARCH, **query, also_output=True)
    assert f"of {18 + 1} images" in shown(found)["verdict"]
    assert found["result"][0].shape[0] == 7
    (row,) = [row for row in shown(found)["hits"] if "unbuilt" in row["title"]]
    assert row["installed"], "although the library does not know it"
    address = "/view?filename=a+b.png&subfolder=my+day&type=output&preview=webp;75"
    assert row["image"] == address
    assert row["seed"] == "7"
    assert "unbuilt" not in str(shown(run(SEARCH, **query))), "it is indexed, and not asked for"


def test_only_new_images_of_the_output_folder_are_read(built: Comfy) -> None:
    path = saved(built)
    query = {"image": batch(plain("red")), "also_output": True}
    run(SEARCH, **query)
    before = joint(built).encoded
    run(SEARCH, **query)
    assert joint(built).encoded == before + 1, "the query's own image"
    path.unlink()
    assert "of 18 images" in shown(run(SEARCH, **query))["verdict"]


def test_output_alone_can_be_searched(empty: Comfy) -> None:
    saved(empty)
    found = run(SEARCH, image=batch(plain("blue")), also_output=True)
    assert found["result"][4] == "unbuilt.safetensors"
    assert found["result"][0].shape == (1, 128, 256, 3), "as large as the first is"


# -- Similar Models -------------------------------------------------------------------------------


def test_checkpoints_are_ranked_by_what_they_make(built: Comfy) -> None:
    answer = run(SIMILAR, text="blue")
    name, text, scores = answer["result"]
    assert name == BLUE
    rows = shown(answer)["candidates"]
    assert rows[0]["title"] == "cold/blue"
    assert [row["chosen"] for row in rows] == [True, False, False]
    assert scores == sorted(scores, reverse=True)
    assert rows[0]["score"] == "far above average"
    assert text.startswith(f"{shown(answer)['verdict']}\n\n1. cold/blue  (text: far above average)")
    assert not re.search(r"[+-][0-9]", text), "a number that says nothing"
    for sample in rows[0]["evidence"]:
        assert built.runtime.api.sample(*sample["image"].split("/")[-2:]) is not None
        assert sample["prompt"].startswith(PROMPT)


def test_others_that_are_like_a_checkpoint(built: Comfy) -> None:
    answer = run(SIMILAR, checkpoint=RED)
    assert {row["name"] for row in shown(answer)["candidates"]} == {"green.safetensors", BLUE}
    assert answer["result"][0] != RED
    assert "is most like red, of 2 that were compared." in shown(answer)["verdict"]


def test_a_checkpoint_and_a_text_count_together(built: Comfy) -> None:
    answer = run(SIMILAR, checkpoint=RED, text="blue", weights="text=9")
    assert answer["result"][0] == BLUE
    parts = shown(answer)["candidates"][0]["parts"]
    assert [part.split(":")[0] for part in parts] == ["text", "like"]
    assert "is most like red and shows best what you look for, of 2" in shown(answer)["verdict"]


def test_top_k_shortens_the_ranking_and_not_the_choice(built: Comfy) -> None:
    answer = run(SIMILAR, text="green", top_k=1)
    assert len(shown(answer)["candidates"]) == len(answer["result"][2]) == 1
    assert answer["result"][0] == "green.safetensors"
    assert "of 3 that were compared" in shown(answer)["verdict"]


def test_what_is_not_installed_is_not_ranked(built: Comfy) -> None:
    (built.checkpoints / BLUE).unlink()
    answer = run(SIMILAR, text="blue")
    assert BLUE not in [row["name"] for row in shown(answer)["candidates"]]
    assert answer["result"][0] in (RED, "green.safetensors")


def answer_of(*identities: str) -> CheckpointAnswer:
    """A ranking of candidates in this order."""
    rows = [
        FoundCheckpoint(rank, name.split(":")[-1], name, None, 1.0 / rank, {"text": 0.5}, 3, ())
        for rank, name in enumerate(identities, 1)
    ]
    return CheckpointAnswer(tuple(rows), ("A note.",))


def test_a_workflow_of_ones_own_may_be_best_and_is_no_answer(built: Comfy) -> None:
    searches, query = built.runtime.api.searches, Query(text="red")
    blue = built.candidate(BLUE).identity
    found = similar(searches, answer_of("recipe:mine", blue), query, None, 5)
    assert (found.name, found.scores) == (BLUE, [1.0, 0.5])
    assert [row["chosen"] for row in found.shown["candidates"]] == [False, True]
    assert found.shown["notes"][0].startswith("mine comes first. It is a workflow of yours")
    assert found.shown["notes"][1] == "A note."
    with pytest.raises(SearchError, match="Only workflows of your own were found"):
        similar(searches, answer_of("recipe:mine"), query, None, 5)


# -- what goes wrong ------------------------------------------------------------------------------


@BOTH
def test_an_empty_question_says_what_can_be_asked(id_: str, built: Comfy) -> None:
    for inputs in ({}, {"text": "  ", "tags": " , "}, {"text": "red", "weights": "text=0"}):
        with pytest.raises(SearchError) as error:
            run(id_, **inputs)
        assert str(error.value) == EMPTY_QUERY


@BOTH
def test_an_empty_library_says_what_to_do(id_: str, empty: Comfy) -> None:
    with pytest.raises(SearchError) as error:
        run(id_, image=batch(plain("red")))
    assert str(error.value) == EMPTY_LIBRARY


@BOTH
def test_a_text_needs_the_text_encoder(id_: str, built: Comfy) -> None:
    joint(built).speechless = True
    with pytest.raises(MissingExtraError, match="the stand-in reads no texts"):
        run(id_, text="red")
    noted = shown(run(id_, tags="number 3"))["notes"]
    assert any(note.startswith("Tags were looked for in prompts only") for note in noted)


def test_tags_that_nothing_shows_are_not_found(built: Comfy) -> None:
    joint(built).speechless = True
    with pytest.raises(SearchError) as error:
        run(SEARCH, tags="submarine")
    assert NOTHING in str(error.value)
    assert "in prompts only" in str(error.value)


@BOTH
def test_weights_are_checked(id_: str, built: Comfy) -> None:
    with pytest.raises(SearchError, match="'text' is no weight"):
        run(id_, text="red", weights="text")
    with pytest.raises(SearchError, match="Unknown part 'colour'"):
        run(id_, text="red", weights="colour=2")


@pytest.mark.parametrize(("id_", "key"), [(SEARCH, "like"), (SIMILAR, "checkpoint")])
def test_a_checkpoint_must_be_known_to_be_like_it(id_: str, key: str, built: Comfy) -> None:
    with pytest.raises(RankingError, match=r"'gone.safetensors' is not an installed checkpoint"):
        run(id_, **{key: "gone.safetensors"})
    built.add("new.safetensors", 9)
    with pytest.raises(SearchError, match=r"new: has no specification yet.*sidebar"):
        run(id_, **{key: "new.safetensors"})
    listed = NODE_CLASS_MAPPINGS[id_].INPUT_TYPES()["required"][key][0]
    assert listed[0] == NOBODY
    assert "new.safetensors" in listed


def test_one_checkpoint_has_nobody_to_be_compared_with(empty: Comfy) -> None:
    assert empty.build([RED]).message == "Done."
    with pytest.raises(SearchError, match="no other checkpoint"):
        run(SIMILAR, checkpoint=RED)
    alone = run(SIMILAR, image=batch(plain("red")))
    assert shown(alone)["verdict"] == "red is the only one that could be compared."


# -- when they run again --------------------------------------------------------------------------


@BOTH
def test_a_search_is_repeated_when_the_library_or_what_is_installed_changes(
    id_: str, built: Comfy
) -> None:
    before = changed(id_)
    run(id_, text="red")
    assert changed(id_) == before
    built.add("delta.safetensors", 4)
    installed = changed(id_)
    assert installed != before
    built.change("delta.safetensors", width=64, height=64, steps=2)
    built.build()
    assert changed(id_) not in (before, installed)


def test_new_images_only_count_where_the_output_is_searched(built: Comfy) -> None:
    without, also = changed(SEARCH), changed(SEARCH, also_output=True)
    saved(built)
    (built.checkpoints / "unbuilt.safetensors").unlink()
    assert changed(SEARCH) == without
    assert changed(SEARCH, also_output=True) != also


# -- parts ----------------------------------------------------------------------------------------


def test_pictures_get_the_size_of_the_first_without_losing_anything() -> None:
    wide, tall = Image.new("RGB", (80, 40), "red"), Image.new("RGBA", (40, 80), "blue")
    first, second = of_one_size([wide, tall])
    assert first.tobytes() == wide.tobytes(), "it is not touched"
    assert second.size == (80, 40)
    columns = np.asarray(second)[20]
    blue = (columns[:, 2] > 128).sum()
    assert 18 <= blue <= 22
    assert columns[0].max() == columns[-1].max() == 0
    large = of_one_size([Image.new("RGB", (3000, 20))])
    assert large[0].size == (1024, 7)


def test_lines_of_words_and_weights() -> None:
    assert words(" a, b c ,,") == ["a", "b c"]
    assert weights("text=2, image = .5") == {"text": 2.0, "image": 0.5}
    assert weights("") == {}
    with pytest.raises(SearchError, match="'text=much' is no weight"):
        weights("text=much")
