"""Every node keeps what it promises to ComfyUI, against small stand-ins for ComfyUI's modules."""

from __future__ import annotations

import inspect
import json
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from conftest import picture
from headers import SDXL

from lib_gmi.base.errors import HostError, LibraryError, RankingError
from lib_gmi.base.grids import side_by_side
from lib_gmi.base.images import through_codec
from lib_gmi.checkpoints.presets import CODEC
from lib_gmi.comfyui.inputs import CHECKPOINT
from lib_gmi.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from lib_gmi.comfyui.query_nodes import STOP
from lib_gmi.records.prompts import Dialect, Prompt, PromptSet

if TYPE_CHECKING:
    from standins.comfyui.harness import Comfy

pytest_plugins = ["standins.comfyui.harness"]

QUERIES = ("GMI_FindBestModel", "GMI_LoadBestModel", "GMI_CompareTopK")
EVERY_NODE = pytest.mark.parametrize("id_", NODE_CLASS_MAPPINGS)
SENTENCE = re.compile(r"[A-Z][^.]*( [^.]*)+\.")


def node(id_: str) -> Any:
    """An instance of a node, as ComfyUI makes one."""
    return NODE_CLASS_MAPPINGS[id_]()


def declared(id_: str) -> dict[str, Any]:
    """Type and options of every input that people see, by name."""
    inputs: dict[str, Any] = NODE_CLASS_MAPPINGS[id_].INPUT_TYPES()
    return {**inputs.get("required", {}), **inputs.get("optional", {})}


def defaults(id_: str, **changes: Any) -> dict[str, Any]:
    """A node's inputs as they are when it has just been put on a canvas and wired."""
    values = {}
    for name, (type_, *options) in declared(id_).items():
        first = type_[0] if isinstance(type_, list) else None
        values[name] = options[0].get("default", first) if options else first
    return {**values, **changes}


def run(id_: str, **inputs: Any) -> Any:
    """What a node returns for these inputs and its defaults."""
    return getattr(node(id_), NODE_CLASS_MAPPINGS[id_].FUNCTION)(**defaults(id_, **inputs))


def changed(id_: str, **inputs: Any) -> Any:
    """What ComfyUI compares before it runs a node: inputs that are wired are None then."""
    return NODE_CLASS_MAPPINGS[id_].IS_CHANGED(**defaults(id_, **inputs))


def ranking(output: dict[str, Any]) -> dict[str, Any]:
    """What a query node shows."""
    (shown,) = output["ui"]["gmi_ranking"]
    assert isinstance(shown, dict)
    return shown


def is_sentence(text: str) -> bool:
    """Whether a text is one sentence or several, of several words."""
    return all(SENTENCE.fullmatch(part + ".") for part in re.split(r"\.(?: |$)", text)[:-1]) and (
        text.endswith(".")
    )


# -- what every node declares ---------------------------------------------------------------------


def test_ids_belong_to_this_extension_and_every_node_has_a_name() -> None:
    assert all(id_.startswith("GMI_") for id_ in NODE_CLASS_MAPPINGS)
    assert NODE_DISPLAY_NAME_MAPPINGS.keys() == NODE_CLASS_MAPPINGS.keys()
    assert len(set(NODE_DISPLAY_NAME_MAPPINGS.values())) == len(NODE_CLASS_MAPPINGS)


@EVERY_NODE
def test_a_node_says_where_it_belongs_and_what_it_is_for(id_: str, comfy: Comfy) -> None:
    class_ = NODE_CLASS_MAPPINGS[id_]
    assert class_.CATEGORY.split("/")[0] == "Find Best Model"
    assert is_sentence(class_.DESCRIPTION), class_.DESCRIPTION


@EVERY_NODE
def test_a_nodes_function_takes_what_the_node_declares(id_: str, comfy: Comfy) -> None:
    hidden = NODE_CLASS_MAPPINGS[id_].INPUT_TYPES().get("hidden", {})
    function = getattr(node(id_), NODE_CLASS_MAPPINGS[id_].FUNCTION)
    inspect.signature(function).bind(**dict.fromkeys((*declared(id_), *hidden)))


@EVERY_NODE
def test_every_input_is_explained_in_a_whole_sentence(id_: str, comfy: Comfy) -> None:
    for name, (_, options) in declared(id_).items():
        assert is_sentence(options["tooltip"]), (name, options["tooltip"])


@EVERY_NODE
def test_every_default_is_a_value_that_the_input_takes(id_: str, comfy: Comfy) -> None:
    for name, (type_, options) in declared(id_).items():
        value = defaults(id_)[name]
        if isinstance(type_, list):
            assert value in type_, name
        elif type_ in ("INT", "FLOAT") and "default" in options:
            assert options["min"] <= value <= options.get("max", math.inf), name


@EVERY_NODE
def test_every_output_has_a_name_and_a_whole_sentence(id_: str) -> None:
    class_ = NODE_CLASS_MAPPINGS[id_]
    names = getattr(class_, "RETURN_NAMES", ())
    tips = getattr(class_, "OUTPUT_TOOLTIPS", ())
    assert len(class_.RETURN_TYPES) == len(names) == len(tips) == len(set(names))
    assert all(is_sentence(tip) for tip in tips)
    lists = getattr(class_, "OUTPUT_IS_LIST", None)
    assert lists is None or len(lists) == len(names)


@EVERY_NODE
def test_listing_a_nodes_inputs_is_json_and_makes_nothing(id_: str, comfy: Comfy) -> None:
    from lib_gmi.comfyui import runtime

    comfy.add("alpha.safetensors")
    inputs = NODE_CLASS_MAPPINGS[id_].INPUT_TYPES()
    assert json.loads(json.dumps(inputs)).keys() == inputs.keys()
    assert runtime._runtime is None
    assert comfy.seen.loads == []


def test_a_freshly_added_checkpoint_can_be_the_fallback_at_once(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors")
    assert declared("GMI_LoadBestModel")["fallback"][0] == [STOP, "alpha.safetensors"]
    comfy.add("new/beta.safetensors")
    names = [STOP, "alpha.safetensors", "new/beta.safetensors"]
    assert declared("GMI_LoadBestModel")["fallback"][0] == names


# -- the type of the answer -----------------------------------------------------------------------


def test_the_answer_can_be_wired_into_any_list_of_names(comfy: Comfy) -> None:
    validate = comfy.module("comfy_execution.validation").validate_node_input
    answer = CHECKPOINT
    for names in (["a.safetensors", "b.safetensors"], [], ["c"]):
        assert not answer != names  # noqa: SIM202  ComfyUI compares with !=
        assert not names != answer  # noqa: SIM202
        assert validate(answer, names)
        assert not validate("COMBO", names)  # which is why the type is not simply that


def test_the_answers_type_is_equal_to_what_text_is_equal_to() -> None:
    assert CHECKPOINT == "COMBO"
    assert not CHECKPOINT == "STRING"  # noqa: SIM201  == and != are not each other's opposite
    assert not CHECKPOINT == ["COMBO"]  # noqa: SIM201
    assert {"COMBO": "found"}[CHECKPOINT] == "found"
    assert json.dumps([CHECKPOINT]) == '["COMBO"]'


# -- when a node runs again -----------------------------------------------------------------------


def marks(**inputs: Any) -> list[Any]:
    """What ComfyUI compares of each node that ranks."""
    return [
        changed(id_, **{k: v for k, v in inputs.items() if k in declared(id_)}) for id_ in QUERIES
    ]


def test_a_query_is_not_repeated_while_nothing_has_changed(built: Comfy) -> None:
    before = marks()
    built.restart()
    assert marks() == before
    run("GMI_FindBestModel", image=built.image(1))
    assert marks() == before


def test_a_query_is_repeated_when_a_pass_ends_and_not_with_every_sample(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.runtime.builds.start(None, None)
    seen = [marks()]
    for _ in range(4):  # both up to 4 samples, then both up to 6
        assert len(comfy.work(jobs=1)) == 1
        seen.append(marks())
    assert seen[0] == seen[1]
    assert seen[2] == seen[3]
    for before, after in ((0, 2), (2, 4), (0, 4)):
        assert all(a != b for a, b in zip(seen[before], seen[after], strict=True))


def test_a_query_is_repeated_when_checkpoints_come_go_or_are_replaced(built: Comfy) -> None:
    seen = [marks()]
    path = built.add("delta.safetensors", 4)
    seen.append(marks())
    built.add("delta.safetensors", 5)
    seen.append(marks())
    path.unlink()
    assert marks() == seen[0]
    assert all(len(set(of_one_node)) == 3 for of_one_node in zip(*seen, strict=True))


def test_a_locked_query_is_never_repeated(built: Comfy) -> None:
    locked = {"lock_answer": True, "locked_answer": "alpha.safetensors"}
    before = marks(**locked)[:2]
    built.add("delta.safetensors", 4)
    built.build()
    assert marks(**locked)[:2] == before
    assert before[0] != marks()[0]
    assert marks(lock_answer=True, locked_answer="") == marks()


def test_a_query_whose_every_input_is_wired_follows_the_library(built: Comfy) -> None:
    wired = dict.fromkeys(name for id_ in QUERIES for name in declared(id_))
    before = marks(**wired)
    assert before == marks()
    built.add("delta.safetensors", 4)
    assert all(a != b for a, b in zip(before, marks(**wired), strict=True))


# -- Find Best Model ------------------------------------------------------------------------------


def test_find_names_the_checkpoint_that_made_the_image(built: Comfy) -> None:
    names = {1: "alpha.safetensors", 2: "anime/beta.safetensors", 3: "gamma.safetensors"}
    for style, name in names.items():
        output = run("GMI_FindBestModel", image=built.image(style, 901))
        answer, text, scores, probability, prompt = output["result"]
        shown = ranking(output)
        title = name.removesuffix(".safetensors")
        assert (answer, shown["chosen"], shown["locked"]) == (name, name, False)
        assert text.startswith(f"{shown['verdict']}\n\n1. {title}  ")
        assert len(text.splitlines()) == 2 + 3 + 1
        assert text.endswith("The lower a score, the closer the checkpoint.")
        assert scores == sorted(scores)
        assert scores == [row["score"] for row in shown["candidates"]]
        assert probability == shown["candidates"][0]["probability"] > 0.5
        assert prompt == shown["prompt"]["text"]
        assert prompt in [known.text for known in built.runtime.service.prompt_set.prompts]
    assert built.seen.loads == []


def test_what_find_shows_is_json_that_the_front_end_can_read(built: Comfy) -> None:
    output = run("GMI_FindBestModel", image=built.image(2), prompt="picture number 3")
    assert json.loads(json.dumps(output["ui"], allow_nan=False)) == output["ui"]
    shown = ranking(output)
    assert shown["prompt"] == {"text": "picture number 3", "source": "user", "confidence": None}
    assert {"verdict", "method", "reason", "foreign", "notes", "missing"} <= shown.keys()
    for row in shown["candidates"]:
        assert row["kind"] == "checkpoint"
        assert row["evidence"][0]["image"].startswith("/gmi/v1/samples/")


def test_several_images_in_a_batch_are_examples_of_one_wish(built: Comfy) -> None:
    singly = [
        dict(scores_of(run("GMI_FindBestModel", image=built.image(2, content))))
        for content in (901, 902, 903)
    ]
    together = dict(scores_of(run("GMI_FindBestModel", image=built.image(2, 901, 902, 903))))
    assert together.keys() == singly[0].keys()
    for name, score in together.items():
        assert score == pytest.approx(np.mean([single[name] for single in singly]), rel=1e-4)
    assert len({single["gamma.safetensors"] for single in singly}) == 3


def scores_of(output: dict[str, Any]) -> list[tuple[str, float]]:
    return [(row["name"], row["score"]) for row in ranking(output)["candidates"]]


def test_top_k_shortens_the_ranking_and_not_the_choice(built: Comfy) -> None:
    whole = run("GMI_FindBestModel", image=built.image(2))
    short = run("GMI_FindBestModel", image=built.image(2), top_k=1)
    assert short["result"][0] == whole["result"][0]
    assert short["result"][3] == whole["result"][3]
    assert short["result"][2] == whole["result"][2][:1]
    assert len(ranking(short)["candidates"]) == 1


def test_find_uses_the_method_that_is_asked_for(built: Comfy) -> None:
    shown = ranking(run("GMI_FindBestModel", image=built.image(2), method="rkme-clip"))
    assert shown["method"] == "rkme-clip"
    assert shown["candidates"][0]["name"] == "anime/beta.safetensors"


def test_one_checkpoint_alone_is_named_without_any_probability(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    comfy.build()
    output = run("GMI_FindBestModel", image=comfy.image(1))
    assert output["result"][0] == "alpha.safetensors"
    assert output["result"][3] == 0.0
    assert ranking(output)["candidates"][0]["probability"] is None


@pytest.mark.parametrize("names", [(), ("alpha.safetensors",)])
def test_without_specifications_the_error_says_what_to_do(
    names: tuple[str, ...], comfy: Comfy
) -> None:
    comfy.add_all(*names)
    with pytest.raises(RankingError, match=r"filter|Build them first"):
        run("GMI_FindBestModel", image=comfy.image(1))


def test_video_frames_and_transparent_images_can_be_asked_about(built: Comfy) -> None:
    frames = built.image(2, 901, 902)[None]
    assert run("GMI_FindBestModel", image=frames)["result"][0] == "anime/beta.safetensors"
    opaque = torch.cat([built.image(2, 901), torch.ones(1, 64, 64, 1)], dim=-1)
    plain = scores_of(run("GMI_FindBestModel", image=built.image(2, 901)))
    assert scores_of(run("GMI_FindBestModel", image=opaque)) == plain


# -- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("anime/", {"anime/beta.safetensors"}),
        ("anime/*, GAMMA", {"anime/beta.safetensors", "gamma.safetensors"}),
        ("!anime/", {"alpha.safetensors", "gamma.safetensors"}),
        ("*a*, !beta*", {"alpha.safetensors", "gamma.safetensors"}),
        ("", {"alpha.safetensors", "anime/beta.safetensors", "gamma.safetensors"}),
    ],
)
def test_only_names_that_fit_the_pattern_are_ranked(
    pattern: str, names: set[str], built: Comfy
) -> None:
    output = run("GMI_FindBestModel", image=built.image(2), pattern=pattern)
    assert {row["name"] for row in ranking(output)["candidates"]} == names
    assert output["result"][0] in names


def test_only_the_architecture_that_is_asked_for_is_ranked(built: Comfy) -> None:
    built.add("large.safetensors", 6, SDXL)
    built.change("large.safetensors", width=64, height=64, steps=2)
    built.build()
    output = run("GMI_FindBestModel", image=built.image(2), architecture="sdxl")
    assert [row["name"] for row in ranking(output)["candidates"]] == ["large.safetensors"]
    output = run("GMI_FindBestModel", image=built.image(6), architecture="sd1")
    assert "large.safetensors" not in [row["name"] for row in ranking(output)["candidates"]]


def test_a_filter_that_nothing_passes_is_an_error_that_says_so(built: Comfy) -> None:
    for inputs in ({"pattern": "nothing*"}, {"architecture": "flux"}):
        with pytest.raises(RankingError, match="passes the filter"):
            run("GMI_FindBestModel", image=built.image(2), **inputs)


# -- locked answers -------------------------------------------------------------------------------


def lock(name: str) -> dict[str, Any]:
    return {"lock_answer": True, "locked_answer": name}


def test_a_locked_answer_is_given_without_ranking_anything(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors")
    output = run("GMI_FindBestModel", image=comfy.image(9), **lock("alpha.safetensors"))
    shown = ranking(output)
    assert output["result"][0] == shown["chosen"] == "alpha.safetensors"
    assert (shown["locked"], shown["candidates"]) == (True, [])
    assert "alpha.safetensors" in output["result"][1]
    assert output["result"][2], "ComfyUI runs no node on an empty list"
    assert json.loads(json.dumps(output["ui"], allow_nan=False)) == output["ui"]


@pytest.mark.parametrize(
    "name", ["alpha.safetensors", "old/alpha.safetensors", "old\\alpha.safetensors"]
)
def test_a_locked_checkpoint_that_was_moved_is_found(name: str, comfy: Comfy) -> None:
    comfy.add("people/alpha.safetensors")
    output = run("GMI_FindBestModel", image=comfy.image(9), **lock(name))
    assert output["result"][0] == "people/alpha.safetensors"


def test_the_locked_checkpoint_itself_comes_before_others_of_its_name(comfy: Comfy) -> None:
    comfy.add("a/alpha.safetensors", 1)
    comfy.add("b/alpha.safetensors", 2)
    output = run("GMI_FindBestModel", image=comfy.image(9), **lock("b/alpha.safetensors"))
    assert output["result"][0] == "b/alpha.safetensors"


@pytest.mark.parametrize("name", ["beta.safetensors", "c/alpha.safetensors"])
def test_a_locked_checkpoint_that_is_missing_or_ambiguous_is_a_clear_error(
    name: str, comfy: Comfy
) -> None:
    comfy.add("a/alpha.safetensors", 1)
    comfy.add("b/alpha.safetensors", 2)
    with pytest.raises(RankingError, match=f"'{name}', which is not installed.*'lock answer'"):
        run("GMI_FindBestModel", image=comfy.image(9), **lock(name))


def test_only_an_answer_that_was_kept_is_locked(built: Comfy) -> None:
    image = built.image(2)
    assert run("GMI_FindBestModel", image=image, **lock(""))["result"][0].startswith("anime/")
    kept = {"lock_answer": False, "locked_answer": "alpha.safetensors"}
    assert run("GMI_FindBestModel", image=image, **kept)["result"][0].startswith("anime/")


# -- what the image's file says -------------------------------------------------------------------


def wired(**nodes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """What ComfyUI puts into the hidden inputs of the node 'find'."""
    graph = {id_: {"class_type": kind, "inputs": put} for id_, (kind, put) in nodes.items()}
    return {"graph": graph, "node_id": "find"}


def asking(image: Any) -> tuple[str, dict[str, Any]]:
    """The node that asks, as the workflow has it."""
    return "GMI_FindBestModel", {"image": image, "prompt": ""}


def load(file: Any) -> tuple[str, dict[str, Any]]:
    return "LoadImage", {"image": file}


def sentences(output: dict[str, Any]) -> list[str]:
    return [row["sentence"] for row in ranking(output)["made_with"]]


GAMMA = "Made with gamma, according to the file."


@pytest.fixture
def saved(built: Comfy) -> Comfy:
    """Three images of which the files say what made them: the names are those of Load Image."""
    built.save(built.input, "liked.png", "gamma.safetensors", 2, 901)
    built.save(built.input, "other.png", "alpha.safetensors", 1, 902)
    built.save(built.output, "made.png", "nobody.safetensors", 1, 903)
    return built


@pytest.mark.parametrize("id_", QUERIES)
def test_what_the_file_says_stands_before_the_ranking_and_changes_nothing_in_it(
    id_: str, saved: Comfy
) -> None:
    hidden = wired(find=(id_, {"image": ["a", 0]}), a=load("liked.png"))
    image = saved.image(2, 901)
    inputs = defaults(id_, image=image)
    plain = run(id_, **inputs)
    output = getattr(node(id_), NODE_CLASS_MAPPINGS[id_].FUNCTION)(**inputs, **hidden)
    (said,) = ranking(output)["made_with"]
    assert (said["sentence"], said["installed"]) == (GAMMA, "gamma.safetensors")
    assert {**ranking(output), "made_with": []} == ranking(plain)
    assert ranking(output)["chosen"] == "anime/beta.safetensors", "the pixels decide"
    at = 4 if id_ == "GMI_LoadBestModel" else 1
    verdict = ranking(run("GMI_FindBestModel", image=image))["verdict"]
    expected = plain["result"][at].replace(verdict, f"{GAMMA}\n\n{verdict}")
    assert output["result"][at] == expected != plain["result"][at]


def found(saved: Comfy, **nodes: tuple[str, dict[str, Any]]) -> list[str]:
    """What Find Best Model says of the files in a workflow."""
    return sentences(run("GMI_FindBestModel", image=saved.image(2), **wired(**nodes)))


def test_the_file_is_found_behind_nodes_that_leave_the_image_what_it_is(saved: Comfy) -> None:
    said = found(
        saved,
        find=asking(["batch", 0]),
        batch=("ImageBatch", {"image1": ["small", 0], "image2": ["b", 0]}),
        small=("ImageScale", {"image": ["crop", 0], "width": 64}),
        crop=("ImageCrop", {"image": ["a", 0], "x": 0}),
        a=load("other.png"),
        b=load("made.png [output]"),
    )
    assert said == [
        "Made with alpha, according to the file.",
        "Made with nobody.safetensors, according to the file; it is not installed.",
    ]


def test_what_another_node_makes_of_an_image_is_another_image(saved: Comfy) -> None:
    for kind, name in (
        ("ImageBlur", "image"),
        ("ImageInvert", "image"),
        ("VAEDecode", "samples"),
        ("KSampler", "pixels"),
        ("SomebodysNode", "images"),
    ):
        assert (
            found(saved, find=asking(["x", 0]), x=(kind, {name: ["a", 0]}), a=load("liked.png"))
            == []
        )
    assert found(saved, find=("GMI_FindBestModel", {"images": ["a", 0]}), a=load("liked.png")) == []


def chain(length: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """So many links from the node that asks to the one that loads."""
    nodes = {"find": asking(["n1", 0]), f"n{length}": load("liked.png")}
    for at in range(1, length):
        nodes[f"n{at}"] = ("ImageScaleBy", {"image": [f"n{at + 1}", 0]})
    return nodes


def test_files_are_looked_for_eight_links_away_and_no_further(saved: Comfy) -> None:
    assert found(saved, **chain(1)) == found(saved, **chain(8)) == [GAMMA]
    assert found(saved, **chain(9)) == []


def test_a_workflow_that_goes_in_circles_is_looked_through_once(saved: Comfy) -> None:
    circle = ("ImageBatch", {"image1": ["x", 0], "image2": ["y", 0], "image": ["x", 0]})
    more = {"x": circle, "y": ("ImageBatch", {"image1": ["x", 0], "image2": ["a", 0]})}
    assert found(saved, find=asking(["x", 0]), a=load("liked.png"), **more) == [GAMMA]


@pytest.mark.parametrize(
    "hidden",
    [
        {},
        {"graph": None, "node_id": None},
        {"graph": {}, "node_id": "find"},
        {"graph": "workflow", "node_id": "find"},
        {"graph": {"find": None}, "node_id": "find"},
        wired(find=asking(["gone", 0])),
        wired(find=asking("liked.png")),
        wired(find=asking(["a", 0]), a=load("missing.png")),
        wired(find=asking(["a", 0]), a=load(["b", 0]), b=("PrimitiveString", {})),
        wired(find=asking(["a", 0]), a=load("nothing.txt")),
        wired(find=asking(["a", 0]), a=("LoadImage", {})),
        {"graph": {"find": {"inputs": {"image": ["a", 0]}}, "a": {}}, "node_id": "find"},
    ],
)
def test_where_no_file_can_be_told_nothing_is_said(hidden: dict[str, Any], saved: Comfy) -> None:
    (saved.input / "nothing.txt").write_text("no image", encoding="utf-8")
    output = run("GMI_FindBestModel", image=saved.image(2), **hidden)
    assert sentences(output) == []
    assert output["result"][0] == "anime/beta.safetensors"


def test_equal_sentences_are_said_once_in_the_text(saved: Comfy) -> None:
    nodes = {
        "find": asking(["batch", 0]),
        "batch": ("ImageBatch", {"image1": ["a", 0], "image2": ["b", 0]}),
        "a": load("liked.png"),
        "b": load("liked.png"),
    }
    output = run("GMI_FindBestModel", image=saved.image(2, 901, 901), **wired(**nodes))
    assert [row["image"] for row in ranking(output)["made_with"]] == [1, 2]
    assert output["result"][1].count("according to the file") == 1


def test_where_a_workflow_is_does_not_make_a_query_run_again(saved: Comfy) -> None:
    hidden = wired(find=asking(["a", 0]), a=load("liked.png"))
    for id_ in QUERIES:
        assert NODE_CLASS_MAPPINGS[id_].INPUT_TYPES()["hidden"] == {
            "graph": "PROMPT",
            "node_id": "UNIQUE_ID",
        }
        mark = NODE_CLASS_MAPPINGS[id_].IS_CHANGED
        assert mark(**defaults(id_), **hidden) == mark(**defaults(id_))


def test_a_locked_answer_is_the_same_whatever_the_file_says(saved: Comfy) -> None:
    hidden = wired(find=asking(["a", 0]), a=load("liked.png"))
    given = {"image": saved.image(2), **lock("alpha.safetensors")}
    assert run("GMI_FindBestModel", **given, **hidden) == run("GMI_FindBestModel", **given)


# -- Load Best Model ------------------------------------------------------------------------------


def loaded_by(output: dict[str, Any]) -> str:
    """The name in the one loader that Load Best Model expands to."""
    ((id_, loader),) = output["expand"].items()
    assert loader["class_type"] == "CheckpointLoaderSimple"
    assert list(loader["inputs"]) == ["ckpt_name"]
    assert output["result"][:3] == ([id_, 0], [id_, 1], [id_, 2])
    assert output["result"][3] == loader["inputs"]["ckpt_name"]
    return str(output["result"][3])


def test_load_becomes_one_loader_of_the_best_checkpoint(built: Comfy) -> None:
    output = run("GMI_LoadBestModel", image=built.image(2))
    assert loaded_by(output) == "anime/beta.safetensors"
    (loader,) = output["expand"].values()
    found = built.nodes.NODE_CLASS_MAPPINGS[loader["class_type"]]
    model, clip, vae = getattr(found(), found.FUNCTION)(**loader["inputs"])
    assert model.model.diffusion_model == [2.0]
    assert None not in (clip, vae)
    assert ranking(output)["loaded"] == "anime/beta.safetensors"
    assert json.loads(json.dumps(output["ui"], allow_nan=False)) == output["ui"]
    assert output["result"][4].startswith("Loaded anime/beta.safetensors.")


def test_what_is_likely_enough_is_loaded_and_else_the_fallback(built: Comfy) -> None:
    image = built.image(2)
    likely = run("GMI_FindBestModel", image=image)["result"][3]
    given = {"image": image, "fallback": "alpha.safetensors"}
    enough = run("GMI_LoadBestModel", min_probability=likely, **given)
    assert loaded_by(enough) == "anime/beta.safetensors"
    output = run("GMI_LoadBestModel", min_probability=likely + 0.001, **given)
    assert loaded_by(output) == ranking(output)["loaded"] == "alpha.safetensors"
    assert ranking(output)["chosen"] == "alpha.safetensors", "a lock keeps what was loaded"
    for text in ("anime/beta.safetensors is the best", "the fallback alpha.safetensors"):
        assert text in output["result"][4]
        assert text in ranking(output)["verdict"]


def test_without_a_fallback_the_workflow_stops_and_says_why(built: Comfy) -> None:
    with pytest.raises(RankingError, match=r"anime/beta.*100%\. Choose a fallback"):
        run("GMI_LoadBestModel", image=built.image(2), min_probability=1.0)
    assert loaded_by(run("GMI_LoadBestModel", image=built.image(2), min_probability=0.0))


def test_an_image_like_none_of_the_library_goes_to_the_fallback(built: Comfy) -> None:
    noise = torch.from_numpy(np.random.default_rng(0).random((1, 64, 64, 3), dtype=np.float32))
    foreign = noise.round()
    assert ranking(run("GMI_FindBestModel", image=foreign))["foreign"]
    given = {"image": foreign, "fallback": "gamma.safetensors"}
    output = run("GMI_LoadBestModel", min_probability=0.01, **given)
    assert loaded_by(output) == "gamma.safetensors"
    assert "no installed checkpoint is close" in output["result"][4]
    best = ranking(output)["candidates"][0]["name"]
    assert loaded_by(run("GMI_LoadBestModel", min_probability=0.0, **given)) == best


def test_where_no_probability_can_be_claimed_the_fallback_is_loaded(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors", "beta.safetensors")
    comfy.build(["alpha.safetensors"])
    given = {"image": comfy.image(1), "fallback": "beta.safetensors"}
    output = run("GMI_LoadBestModel", min_probability=0.1, **given)
    assert loaded_by(output) == "beta.safetensors"
    assert loaded_by(run("GMI_LoadBestModel", **given)) == "alpha.safetensors"


def test_a_locked_answer_is_loaded_whatever_the_threshold_is(built: Comfy) -> None:
    given = {"image": built.image(2), "min_probability": 1.0, **lock("old/gamma.safetensors")}
    assert loaded_by(run("GMI_LoadBestModel", **given)) == "gamma.safetensors"


# -- Compare Top K --------------------------------------------------------------------------------


def test_compare_shows_what_the_best_checkpoints_make_beside_the_image(built: Comfy) -> None:
    query = built.image(2, 901)
    output = run("GMI_CompareTopK", image=query, prompt="picture number 1", k=2, seed=7)
    shown = ranking(output)
    rows = shown["candidates"]
    assert [row["name"] for row in rows] == ["anime/beta.safetensors", built_name(rows[1])]
    assert [asked["seed"] for asked in built.seen.sampled] == [7, 7]
    assert {asked["positive"] for asked in built.seen.sampled} == {"picture number 1"}
    drawn = [(row["title"], drawn_by(built, row["name"], "picture number 1", 7)) for row in rows]
    sheet = side_by_side([("your image", picture(2, 901, 64)), *drawn])
    (pixels,) = output["result"][0]
    assert np.array_equal((pixels.numpy() * 255).round().astype(np.uint8), np.asarray(sheet))
    assert output["result"][1].startswith(shown["verdict"])
    assert built.seen.progress == [(1, 2), (2, 2)]


def built_name(row: dict[str, Any]) -> str:
    assert row["name"] in ("alpha.safetensors", "gamma.safetensors")
    return str(row["name"])


def drawn_by(comfy: Comfy, name: str, text: str, seed: int) -> Any:
    """What a small checkpoint draws, without this extension."""
    loader = comfy.nodes.CheckpointLoaderSimple()
    model, clip, vae = loader.load_checkpoint(name)
    prompts = [clip.encode_from_tokens_scheduled(clip.tokenize(t)) for t in (text, "")]
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    args = (model, seed, 1, 1.0, "euler", "normal", *prompts, latent)
    pixels = vae.decode(comfy.nodes.common_ksampler(*args)[0]["samples"])
    from PIL import Image

    return Image.fromarray((pixels[0].numpy() * 255).round().astype(np.uint8))


def test_compare_has_one_checkpoint_in_memory_at_a_time(built: Comfy) -> None:
    run("GMI_CompareTopK", image=built.image(2), k=12)
    assert len(built.seen.loads) == 3
    assert built.seen.most_models == 1
    assert built.seen.emptied == [0, 0, 0]
    assert built.memory.current_loaded_models == []


def test_compare_without_a_prompt_takes_the_librarys_nearest(built: Comfy) -> None:
    found = run("GMI_FindBestModel", image=built.image(2, 901))["result"][4]
    run("GMI_CompareTopK", image=built.image(2, 901), k=1)
    assert [asked["positive"] for asked in built.seen.sampled] == [found]


def test_compare_speaks_to_every_checkpoint_in_its_own_dialect(built: Comfy) -> None:
    service = built.runtime.service
    pony = Dialect("natural", "score_9, ", "ugly")
    dialects = {**service.prompt_set.dialects, "pony": pony}
    built.speak(replace(service.prompt_set, dialects=dialects))
    for name, dialect in (("alpha", "natural"), ("gamma", "pony")):
        built.change(f"{name}.safetensors", dialect=dialect, width=64, height=64, steps=3)
    built.build()
    run("GMI_CompareTopK", image=built.image(2), prompt="a cat", pattern="alpha,gamma")
    asked = {(row["positive"], row["negative"]) for row in built.seen.sampled[-2:]}
    assert asked == {("a cat", ""), ("score_9, a cat", "ugly")}


def test_compare_can_be_interrupted_and_leaves_nothing_loaded(built: Comfy) -> None:
    built.seen.while_sampling = lambda begun: built.nodes.interrupt_processing(begun == 1)
    with pytest.raises(built.memory.InterruptProcessingException):
        run("GMI_CompareTopK", image=built.image(2), k=3)
    assert len(built.seen.loads) == 2
    assert built.memory.current_loaded_models == []


def test_compare_loads_nothing_more_once_it_is_interrupted(
    built: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = built.sd.VAE.decode

    def interrupted(*inputs: Any) -> Any:
        built.nodes.interrupt_processing()
        return decode(*inputs)

    monkeypatch.setattr(built.sd.VAE, "decode", interrupted)
    with pytest.raises(built.memory.InterruptProcessingException):
        run("GMI_CompareTopK", image=built.image(2), k=3)
    assert len(built.seen.loads) == 1


def test_compare_names_the_checkpoint_that_cannot_be_used(
    built: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built.sd.CLIP, "tokenize", fails)
    output = run("GMI_CompareTopK", image=built.image(2), k=2)
    assert any("out of tokens" in note for note in ranking(output)["notes"])
    assert "Note: anime/beta: " in output["result"][1]


def fails(*inputs: Any, **more: Any) -> Any:
    raise ValueError("out of tokens")


# -- Build Specifications, and a build's own node -------------------------------------------------


def test_executing_the_build_node_starts_nothing(comfy: Comfy) -> None:
    comfy.add("alpha.safetensors")
    for prompts in declared("GMI_BuildSpecifications")["prompts"][0]:
        output = run("GMI_BuildSpecifications", prompts=prompts)
        assert "othing was started" in output["ui"]["text"][0]
    assert comfy.queue.get_tasks_remaining() == 0
    assert comfy.runtime.builds.state().state == "idle"
    assert comfy.seen.loads == []


def test_a_builds_node_does_its_job_and_reports(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    comfy.runtime.builds.start(None, None)
    output = run("GMI_BuildPass", checkpoint="alpha.safetensors", samples=4)
    title = "Find Best Model: profiles of alpha, 4 of 6"
    assert output["ui"]["text"] == [{"filename": title, "content": "4 of 6 samples"}]
    (entry,) = comfy.runtime.service.library.entries()
    assert (entry.title, entry.samples) == ("alpha", 4)


def test_a_builds_node_is_never_taken_from_the_cache() -> None:
    value = changed("GMI_BuildPass", checkpoint="alpha.safetensors", samples=4)
    assert value != value  # noqa: PLR0124  not a number, which is how ComfyUI is told


def test_a_builds_node_whose_job_was_withdrawn_does_nothing(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    builds = comfy.runtime.builds
    builds.start(None, None)
    builds.cancel()
    run("GMI_BuildPass", checkpoint="alpha.safetensors", samples=4)
    builds.start(None, None)
    builds.pause()
    run("GMI_BuildPass", checkpoint="alpha.safetensors", samples=4)
    run("GMI_BuildPass", checkpoint="never-asked-for.safetensors", samples=4)
    assert comfy.seen.loads == []
    assert comfy.runtime.service.library.entries() == []


def test_interrupting_a_builds_node_pauses_the_build_and_keeps_what_was_done(comfy: Comfy) -> None:
    comfy.add_all("alpha.safetensors")
    comfy.runtime.builds.start(None, None)
    comfy.seen.while_sampling = lambda begun: comfy.nodes.interrupt_processing(begun == 2)
    with pytest.raises(comfy.memory.InterruptProcessingException):
        run("GMI_BuildPass", checkpoint="alpha.safetensors", samples=4)
    state = comfy.runtime.builds.state()
    assert (state.state, state.done) == ("paused", 2)
    assert "Resume" in state.message
    assert [entry.samples for entry in comfy.runtime.service.library.entries()] == [2]
    assert comfy.queue.get_tasks_remaining() == 0
    assert comfy.memory.current_loaded_models == []


def test_an_interruption_between_two_images_reaches_comfyui_as_well(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy.add_all("alpha.safetensors")
    comfy.runtime.builds.start(None, None)
    decode = comfy.sd.VAE.decode

    def interrupted(*inputs: Any) -> Any:
        comfy.nodes.interrupt_processing()
        return decode(*inputs)

    monkeypatch.setattr(comfy.sd.VAE, "decode", interrupted)
    with pytest.raises(comfy.memory.InterruptProcessingException):
        run("GMI_BuildPass", checkpoint="alpha.safetensors", samples=4)
    assert comfy.runtime.builds.state().state == "paused"
    assert comfy.runtime.service.library.entries() == []
    assert not comfy.memory.processing_interrupted()


# -- Specification Prompt and Add to Specification ------------------------------------------------


def workflow(ids: str = "123456", strength: float = 0.8, seed: Any = 5) -> dict[str, Any]:
    """A LoRA's workflow that ends in Add to Specification, which is called ``ids[5]``."""
    prompt, loader, lora, text, sampler, add = ids
    return {
        add: {
            "class_type": "GMI_AddToSpecification",
            "inputs": {
                "image": [sampler, 0],
                "specification_prompt": [prompt, 3],
                "start_over": False,
            },
        },
        sampler: {
            "class_type": "KSampler",
            "inputs": {"model": [lora, 0], "positive": [text, 0], "seed": seed, "steps": 20},
        },
        text: {"class_type": "CLIPTextEncode", "inputs": {"clip": [lora, 1], "text": [prompt, 0]}},
        lora: {
            "class_type": "LoraLoader",
            "inputs": {
                "model": [loader, 0],
                "clip": [loader, 1],
                "lora_name": "ink.safetensors",
                "strength_model": strength,
            },
        },
        loader: {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
        prompt: {
            "class_type": "GMI_SpecificationPrompt",
            "inputs": {"recipe": "ink", "dialect": "natural", "prompt": "next missing"},
        },
    }


def run_workflow(
    comfy: Comfy,
    graph: dict[str, Any] | None = None,
    ids: str = "123456",
    image: Any = None,
    **inputs: Any,
) -> Any:
    """Run a workflow once: the prompt that was handed out, and what adding its image returned."""
    options = {"recipe": "ink", "dialect": "natural", "prompt": "next missing"} | {
        key: inputs.pop(key) for key in ("recipe", "dialect", "prompt") if key in inputs
    }
    wanted = run("GMI_SpecificationPrompt", **options)[3]
    added = run(
        "GMI_AddToSpecification",
        image=comfy.image(9, int(wanted.prompt.id[1:])) if image is None else image,
        specification_prompt=wanted,
        graph=workflow(ids) if graph is None else graph,
        node_id=ids[5],
        **inputs,
    )
    return wanted.prompt.id, added


def test_the_next_missing_prompt_advances_with_every_image(comfy: Comfy) -> None:
    ids = comfy.runtime.service.prompt_set.ids
    marks = []
    for number, id_ in enumerate(ids, 1):
        marks.append(changed("GMI_SpecificationPrompt", recipe="ink"))
        asked, added = run_workflow(comfy)
        assert asked == id_
        (row,) = added["ui"]["gmi_recipe"]
        assert (row["title"], row["samples"], row["of"]) == ("ink", number, len(ids))
        assert row["message"] == added["result"][0] == f"ink has {number} of {len(ids)} prompts."
    assert len(set(marks)) == len(ids)
    assert run_workflow(comfy)[0] == ids[0]


def test_a_specification_prompt_comes_with_its_wording_negative_and_seed(comfy: Comfy) -> None:
    text, negative, seed, wanted = run("GMI_SpecificationPrompt", recipe="ink", prompt="p03")
    assert (text, negative, seed) == ("picture number 3", "", 1003)
    assert (wanted.recipe, wanted.prompt.id) == ("ink", "p03")


def test_recipes_do_not_share_their_prompts(comfy: Comfy) -> None:
    assert run_workflow(comfy)[0] == "p00"
    assert run_workflow(comfy, recipe="wash")[0] == "p00"
    assert run_workflow(comfy)[0] == "p01"


def test_a_chosen_prompt_stays_the_same_from_run_to_run(comfy: Comfy) -> None:
    before = changed("GMI_SpecificationPrompt", recipe="ink", prompt="p03")
    assert run_workflow(comfy, prompt="p03")[0] == "p03"
    assert changed("GMI_SpecificationPrompt", recipe="ink", prompt="p03") == before
    assert run_workflow(comfy, prompt="p03")[1]["ui"]["gmi_recipe"][0]["samples"] == 1


@pytest.mark.parametrize("wired", ["recipe", "dialect", "prompt"])
def test_the_next_missing_prompt_advances_with_an_input_that_is_wired(
    wired: str, comfy: Comfy
) -> None:
    """ComfyUI does not know an input's value yet when it asks whether a node is to run again."""
    marks = []
    for _ in range(2):
        inputs = {"recipe": "ink", wired: None}
        try:
            marks.append(changed("GMI_SpecificationPrompt", **inputs))
        except Exception:
            marks.append(float("nan"))  # ComfyUI runs the node then
        run_workflow(comfy)
    assert marks[0] != marks[1]


def test_a_recipe_that_was_removed_is_begun_again(comfy: Comfy) -> None:
    for _ in comfy.runtime.service.prompt_set.ids:
        run_workflow(comfy)
    before = changed("GMI_SpecificationPrompt", recipe="ink")
    comfy.runtime.service.remove(["recipe:ink"])
    assert changed("GMI_SpecificationPrompt", recipe="ink") != before


def test_a_broken_image_does_not_hold_up_the_recipe(comfy: Comfy) -> None:
    asked = [run_workflow(comfy, image=torch.zeros(1, 64, 64, 3))[0] for _ in range(2)]
    assert asked == ["p00", "p01"]


def test_another_dialect_is_another_recipe(comfy: Comfy) -> None:
    rows = (Prompt(f"p{i:02d}", {"natural": f"picture {i}", "booru": f"p {i}"}) for i in range(6))
    dialects = {name: Dialect(name, "", "") for name in ("natural", "booru")}
    comfy.speak(PromptSet("test", "1", tuple(rows), dialects))
    run_workflow(comfy)
    with pytest.raises(HostError, match="another dialect"):
        run_workflow(comfy, dialect="booru")
    run_workflow(comfy, dialect="booru", start_over=True)
    asked = [run_workflow(comfy, dialect="booru")[0] for _ in range(2)]
    assert len(set(asked)) == 2


def test_the_same_workflow_with_other_node_ids_or_seeds_is_the_same_recipe(comfy: Comfy) -> None:
    run_workflow(comfy)
    run_workflow(comfy, workflow("987654"), "987654")
    run_workflow(comfy, workflow(seed=6))
    _, added = run_workflow(comfy, workflow("abcdef", seed=7), "abcdef")
    assert added["ui"]["gmi_recipe"][0]["samples"] == 4
    assert len(comfy.runtime.service.library.entries()) == 1


def another_wiring() -> dict[str, Any]:
    graph = workflow()
    graph["4"]["inputs"]["clip"] = ["2", 1]
    return graph


def another_node() -> dict[str, Any]:
    graph = workflow()
    graph["5"]["class_type"] = "KSamplerAdvanced"
    return graph


@pytest.mark.parametrize(
    "other", [workflow(strength=0.7), another_wiring(), another_node()], ids=lambda _: ""
)
def test_another_strength_wiring_or_node_is_another_recipe(
    other: dict[str, Any], comfy: Comfy
) -> None:
    run_workflow(comfy)
    with pytest.raises(HostError, match="'ink' was built by another workflow"):
        run_workflow(comfy, other)
    assert [entry.samples for entry in comfy.runtime.service.library.entries()] == [1]


def test_starting_over_puts_the_old_specification_aside_once(comfy: Comfy) -> None:
    run_workflow(comfy)
    run_workflow(comfy)
    other = workflow(strength=0.7)
    run_workflow(comfy, other, start_over=True)
    _, added = run_workflow(comfy, other, start_over=True)
    assert added["ui"]["gmi_recipe"][0]["samples"] == 2
    removed = comfy.runtime.service.library.folder / "removed"
    assert len(list(removed.glob("*.safetensors"))) == 1


def test_what_does_not_make_the_image_is_no_part_of_the_recipe(comfy: Comfy) -> None:
    run_workflow(comfy)
    graph = workflow()
    graph["7"] = {"class_type": "SaveImage", "inputs": {"images": ["5", 0]}}
    graph["1"]["inputs"]["prompt"] = "p01"
    run_workflow(comfy, graph)
    kept = comfy.runtime.api.recipe({"name": "recipe:ink"})["graph"]
    assert kept.keys() == {"1", "2", "3", "4", "5"}
    assert kept["3"] == workflow()["3"]


class LimitedGraph(dict[str, Any]):
    """A workflow of which every node may be looked at a hundred times."""

    def __getitem__(self, id_: str) -> Any:
        self.looks = getattr(self, "looks", 0) + 1
        if self.looks > 100 * len(self):
            pytest.fail(f"a workflow of {len(self)} nodes was looked at {self.looks} times")
        return super().__getitem__(id_)


def test_a_long_stack_of_loras_is_looked_through_once(comfy: Comfy) -> None:
    graph = LimitedGraph(workflow())
    lora = graph["3"]["inputs"]
    for number in range(20):
        below = {**lora, "model": [f"lora {number - 1}", 0], "clip": [f"lora {number - 1}", 1]}
        inputs = below if number else {**lora, "model": ["2", 0], "clip": ["2", 1]}
        graph[f"lora {number}"] = {"class_type": "LoraLoader", "inputs": inputs}
    lora |= {"model": ["lora 19", 0], "clip": ["lora 19", 1]}
    _, added = run_workflow(comfy, graph)
    assert added["ui"]["gmi_recipe"][0]["samples"] == 1


def test_broken_images_make_a_recipe_suspect(comfy: Comfy) -> None:
    black = torch.full((1, 64, 64, 3), math.nan)
    for id_ in comfy.runtime.service.prompt_set.ids:
        _, added = run_workflow(comfy, prompt=id_, image=black)
    (row,) = added["ui"]["gmi_recipe"]
    assert row["samples"] == 0
    assert "It is suspect" in row["message"]


def test_a_recipe_needs_a_name(comfy: Comfy) -> None:
    for name in ("", "  ", "x" * 101):
        with pytest.raises(HostError, match="name of 1 to 100"):
            run("GMI_SpecificationPrompt", recipe=name)


def test_a_recipe_is_ranked_and_never_the_answer(built: Comfy) -> None:
    for _ in built.runtime.service.prompt_set.ids:
        run_workflow(built)
    output = run("GMI_FindBestModel", image=built.image(9, 901))
    shown = ranking(output)
    first = shown["candidates"][0]
    assert (first["name"], first["kind"], first["title"]) == ("recipe:ink", "recipe", "ink")
    assert output["result"][0] == shown["chosen"] == shown["candidates"][1]["name"]
    assert shown["notes"][0].startswith("ink comes first. It is a workflow of yours")
    assert loaded_by(run("GMI_LoadBestModel", image=built.image(9, 901))) == shown["chosen"]
    run("GMI_CompareTopK", image=built.image(9, 901), k=1)
    assert built.seen.loads == [str(built.checkpoints / shown["chosen"])]


def test_recipes_alone_are_no_answer(comfy: Comfy) -> None:
    for _ in comfy.runtime.service.prompt_set.ids:
        run_workflow(comfy)
    with pytest.raises(RankingError, match="none of them is a checkpoint"):
        run("GMI_FindBestModel", image=comfy.image(9))


def test_a_query_follows_a_recipe_when_its_pass_ends(built: Comfy) -> None:
    marks = [changed("GMI_FindBestModel")]
    for _ in range(4):
        run_workflow(built)
        marks.append(changed("GMI_FindBestModel"))
    assert marks[0] == marks[1] == marks[2] == marks[3] != marks[4]


def test_a_sample_of_a_recipe_is_kept_as_the_encoder_saw_it(comfy: Comfy) -> None:
    run_workflow(comfy)
    (entry,) = comfy.runtime.service.library.entries()
    specification = comfy.runtime.service.library.snapshot().specifications[0]
    seen = through_codec(picture(9, 0, 64), CODEC)
    features = comfy.runtime.service.samples.recorder().encoder.encode_images([seen])
    assert np.array_equal(specification.features, features.astype(np.float16).astype(np.float32))
    assert comfy.runtime.service.samples.sample(entry, "p00").is_file()


def test_a_library_that_cannot_be_used_is_an_error_and_not_a_crash(
    comfy: Comfy, library_folder: Any
) -> None:
    library_folder.write_text("not a folder")
    with pytest.raises(LibraryError, match="is not a folder"):
        run("GMI_FindBestModel", image=comfy.image(1))


def test_a_locked_answer_still_describes_the_image(built: Comfy) -> None:
    """Whatever hangs on the description makes the same picture before and after locking."""
    image = built.image(2)
    before = run("GMI_FindBestModel", image=image)["result"]
    after = run("GMI_FindBestModel", image=image, **lock("alpha.safetensors"))["result"]
    assert after[4] == before[4] != ""
    assert (after[0], after[3]) == ("alpha.safetensors", 1.0)
