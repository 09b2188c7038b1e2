"""What workflows and API prompts of today rely on. None of it may change, only more be added."""

from __future__ import annotations

import json
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lib_gmi.comfyui.inputs import CHECKPOINT
from lib_gmi.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

if TYPE_CHECKING:
    from standins.comfyui.harness import Comfy

pytest_plugins = ["standins.comfyui.harness"]

EXAMPLES = Path(__file__).resolve().parents[2] / "example_workflows"
#: Examples as the version had them before ``lib_gmi`` became packages.
BEFORE = Path(__file__).resolve().parents[1] / "data" / "before_packages" / "workflows"
#: Inputs in their order, which is how workflows store the values of widgets: required ones with
#: their type, a list of names as "COMBO" (with what it offers, where that does not depend on what
#: is installed), then optional ones; and the outputs.
_QUERY = {
    "image": "IMAGE",
    "prompt": "STRING",
    "top_k": "INT",
    "method": "COMBO auto learned weighted-rkme rkme-clip rkme-concat",
    "architecture": "COMBO any …",
    "pattern": "STRING",
    "lock_answer": "BOOLEAN",
    "locked_answer": "STRING",
}
_CONTENT = {"text": "STRING", "tags": "STRING", "all_tags": "BOOLEAN"}
_OTHER = {"weights": "STRING", "top_k": "INT", "architecture": "COMBO any …", "pattern": "STRING"}
_IMAGES = {"image": "IMAGE", "sketch": "IMAGE"}
INPUTS: dict[str, dict[str, dict[str, str]]] = {
    "GMI_FindBestModel": {"required": _QUERY},
    "GMI_LoadBestModel": {
        "required": {
            **_QUERY,
            "min_probability": "FLOAT",
            "fallback": "COMBO (none: stop with an error) …",
        }
    },
    "GMI_CompareTopK": {
        "required": {
            **{
                k: v
                for k, v in _QUERY.items()
                if k not in ("top_k", "lock_answer", "locked_answer")
            },
            "k": "INT",
            "seed": "INT",
        }
    },
    "GMI_SearchSamples": {
        "required": {**_CONTENT, "like": "COMBO (none) …", **_OTHER, "also_output": "BOOLEAN"},
        "optional": _IMAGES,
    },
    "GMI_SimilarModels": {
        "required": {"checkpoint": "COMBO (none) …", **_CONTENT, **_OTHER},
        "optional": _IMAGES,
    },
    "GMI_BuildSpecifications": {
        "required": {"pattern": "STRING", "prompts": "COMBO 4 (quick) 8 16 all"}
    },
    "GMI_SpecificationPrompt": {
        "required": {
            "recipe": "STRING",
            "dialect": "COMBO natural booru pony",
            "prompt": "COMBO next missing …",
        }
    },
    "GMI_AddToSpecification": {
        "required": {
            "image": "IMAGE",
            "specification_prompt": "GMI_PROMPT",
            "start_over": "BOOLEAN",
        }
    },
    "GMI_BuildPass": {"required": {"checkpoint": "STRING", "samples": "INT"}},
    "GMI_SpotCheck": {"required": {"checkpoint": "STRING"}},
}
OUTPUTS = {
    "GMI_FindBestModel": (
        "checkpoint COMBO",
        "ranking STRING",
        "scores FLOAT",
        "probability FLOAT",
        "pseudo_prompt STRING",
    ),
    "GMI_LoadBestModel": (
        "MODEL MODEL",
        "CLIP CLIP",
        "VAE VAE",
        "checkpoint COMBO",
        "report STRING",
    ),
    "GMI_CompareTopK": ("comparison IMAGE", "ranking STRING"),
    "GMI_SearchSamples": (
        "images IMAGE",
        "hits STRING",
        "prompt STRING",
        "seed INT",
        "checkpoint COMBO",
    ),
    "GMI_SimilarModels": ("checkpoint COMBO", "ranking STRING", "scores FLOAT"),
    "GMI_BuildSpecifications": (),
    "GMI_SpecificationPrompt": (
        "prompt STRING",
        "negative STRING",
        "seed INT",
        "specification_prompt GMI_PROMPT",
    ),
    "GMI_AddToSpecification": ("report STRING",),
    "GMI_BuildPass": (),
    "GMI_SpotCheck": (),
}
INTERNAL = {"GMI_BuildPass", "GMI_SpotCheck"}


def described(inputs: dict[str, Any]) -> dict[str, dict[str, str]]:
    """A node's inputs in the form of :data:`INPUTS`; all of a list's names."""
    return {
        kind: {
            name: f"COMBO {' '.join(map(str, row[0]))}" if isinstance(row[0], list) else str(row[0])
            for name, row in rows.items()
        }
        for kind, rows in inputs.items()
        if kind != "hidden"
    }


def test_every_node_is_there_under_its_id_and_has_a_name() -> None:
    assert set(NODE_CLASS_MAPPINGS) == set(INPUTS) == set(NODE_DISPLAY_NAME_MAPPINGS)


@pytest.mark.parametrize("id_", INPUTS)
def test_inputs_keep_their_names_types_and_order(id_: str, comfy: Comfy) -> None:
    found = described(NODE_CLASS_MAPPINGS[id_].INPUT_TYPES())
    assert list(found) == list(INPUTS[id_])
    for kind, expected in INPUTS[id_].items():
        assert list(found[kind]) == list(expected)
        for name, type_ in expected.items():
            start, open_, _ = type_.partition("…")
            told = found[kind][name]
            assert f"{told} ".startswith(start) if open_ else told == type_


@pytest.mark.parametrize("id_", OUTPUTS)
def test_outputs_keep_their_names_types_and_order(id_: str) -> None:
    class_ = NODE_CLASS_MAPPINGS[id_]
    names = getattr(class_, "RETURN_NAMES", class_.RETURN_TYPES)
    found = tuple(f"{n} {t}" for n, t in zip(names, class_.RETURN_TYPES, strict=True))
    assert found == OUTPUTS[id_]
    outputs = zip(OUTPUTS[id_], class_.RETURN_TYPES, strict=True)
    assert all(type_ is CHECKPOINT for told, type_ in outputs if told.endswith("COMBO"))


def test_an_answer_can_be_wired_into_any_list_of_names() -> None:
    """ComfyUI compares the types with ``!=``; the other side may be a list of files, or COMBO."""
    for other in ("COMBO", ["a.safetensors"]):
        assert operator.ne(CHECKPOINT, other) is False
    assert json.dumps([CHECKPOINT]) == '["COMBO"]'


@pytest.mark.parametrize("id_", INPUTS)
def test_only_what_is_queued_by_ourselves_is_hidden_from_menus(id_: str) -> None:
    class_ = NODE_CLASS_MAPPINGS[id_]
    hidden = [getattr(class_, name, False) for name in ("DEV_ONLY", "DEPRECATED")]
    assert hidden == [id_ in INTERNAL] * 2


@pytest.mark.parametrize(
    "path",
    [*sorted(EXAMPLES.glob("*.json")), *sorted(BEFORE.glob("*.json"))],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_saved_workflows_still_fit_the_nodes(path: Path, comfy: Comfy) -> None:
    """A widget's value is stored by its place alone."""
    ours = [n for n in json.loads(path.read_bytes())["nodes"] if n["type"] in NODE_CLASS_MAPPINGS]
    assert ours
    for node in ours:
        class_ = NODE_CLASS_MAPPINGS[node["type"]]
        required = class_.INPUT_TYPES()["required"]
        widgets = {name: row for name, row in required.items() if row[0] not in ("IMAGE",)}
        values = node["widgets_values"]
        seeds = 1 if "seed" in widgets else 0  # the front end's "control after generate"
        assert len(values) == len(widgets) + seeds
        for (name, row), value in zip(widgets.items(), values, strict=False):
            kind = {"STRING": str, "INT": int, "FLOAT": (int, float), "BOOLEAN": bool}
            if isinstance(row[0], list):
                assert value in row[0] or not row[0][0].isidentifier(), (name, value)
            else:
                assert isinstance(value, kind[row[0]]), (name, value)
        for wired, output in zip(node["outputs"], class_.RETURN_TYPES, strict=True):
            assert wired["type"] == str(output)
