"""What ComfyUI's users read: help pages and translations say what the nodes are and do."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import SOURCE_ROOT

from lib_gmi.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

WEB = SOURCE_ROOT / "web"
PAGES = WEB / "docs"
LOCALES = SOURCE_ROOT / "locales"
FILES = ("nodeDefs", "main", "settings", "commands")
LANGUAGES = sorted(folder.name for folder in LOCALES.iterdir() if folder.is_dir())
#: A help panel's height, more or less.
ONE_SCREEN = 60

Texts = dict[str, Any]
each_node = pytest.mark.parametrize("node_id", NODE_CLASS_MAPPINGS)
each_language = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture(autouse=True)
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one thing that the nodes ask of ComfyUI to say what they are."""
    folder_paths = SimpleNamespace(get_filename_list=lambda kind: ["a.safetensors"])
    monkeypatch.setitem(sys.modules, "folder_paths", folder_paths)


# -- help pages -----------------------------------------------------------------------------------


@each_node
def test_every_node_has_a_help_page_under_its_display_name(node_id: str) -> None:
    assert page(node_id).splitlines()[0] == f"# {NODE_DISPLAY_NAME_MAPPINGS[node_id]}"


@each_node
def test_a_help_page_has_a_row_for_each_input_and_output(node_id: str) -> None:
    said = described(node_id)

    assert rows(node_id, "Inputs") == [text["name"] for text in said["inputs"].values()]
    assert rows(node_id, "Outputs") == [text["name"] for text in said["outputs"].values()]


@each_node
def test_a_help_page_explains_each_row(node_id: str) -> None:
    for line in page(node_id).splitlines():
        if line.startswith("| "):
            name, meaning = line.strip("| ").split(" | ")
            assert len(meaning) > len("its VAE"), name


@each_node
def test_a_help_page_says_how_to_wire_the_node_and_what_can_go_wrong(node_id: str) -> None:
    assert len(section(node_id, "How to wire it")) > 20
    troubles = section(node_id, "What can go wrong").splitlines()
    assert len(troubles) >= 3
    assert all(re.match(r"\* \*\*[^*]+:\*\* \S.+[.]$", line) for line in troubles)


@each_node
def test_a_help_page_fits_one_screen(node_id: str) -> None:
    assert len(page(node_id).splitlines()) <= ONE_SCREEN


@each_node
def test_a_help_page_is_plain_markdown_that_the_help_panel_shows_as_it_is(node_id: str) -> None:
    text = page(node_id)

    assert not re.search(r"<[a-zA-Z/!]", text), "a page is read as text, too"
    assert "](" not in text, "the panel has no address that a relative link could start from"


def test_no_help_page_is_about_a_node_that_does_not_exist() -> None:
    pages = {path.relative_to(PAGES).parts[0] for path in PAGES.rglob("*.md")}

    assert {name.removesuffix(".md") for name in pages} == set(NODE_CLASS_MAPPINGS)


@pytest.mark.parametrize("path", sorted(PAGES.rglob("*.md")), ids=lambda path: path.stem)
def test_no_help_page_is_empty(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").strip()) > 100


# -- English is what the code says ----------------------------------------------------------------


def test_nodes_are_translated_from_what_the_code_says() -> None:
    said = {node_id: described(node_id) for node_id in NODE_CLASS_MAPPINGS}

    assert locale("en", "nodeDefs") == said


@each_node
def test_a_node_explains_itself_and_everything_that_can_be_connected(node_id: str) -> None:
    said = described(node_id)
    node = NODE_CLASS_MAPPINGS[node_id]

    assert said["description"].endswith(".")
    assert len(said["outputs"]) == len(node.RETURN_TYPES)
    for text in (*said["inputs"].values(), *said["outputs"].values()):
        assert text["tooltip"].endswith(".")


def test_node_categories_are_those_of_the_nodes() -> None:
    used = {part for node in NODE_CLASS_MAPPINGS.values() for part in node.CATEGORY.split("/")}

    assert locale("en", "main")["nodeCategories"] == {part: part for part in used}


def test_settings_are_those_that_the_front_end_registers() -> None:
    assert locale("en", "settings") == {
        key(setting["id"]): {"name": setting["name"], "tooltip": setting["tooltip"]}
        for setting in settings()
    }


def test_setting_categories_are_those_that_the_front_end_registers() -> None:
    # The last part of a category only tells settings apart; ComfyUI never shows it.
    shown = {part for setting in settings() for part in setting["category"][:-1]}

    assert locale("en", "main")["settingsCategories"] == {part: part for part in shown}


def test_commands_are_those_that_comfyui_makes_of_the_sidebar_tab() -> None:
    assert "registerSidebarTab({\n      id: TAB," in script("find_best_model.js")
    tab = found(r'export const TAB = "([\w-]+)"', script("gmi/sidebar.js"))
    sentences = english_sentences()

    assert locale("en", "commands") == {
        key(f"Workspace.ToggleSidebarTab.{tab}"): {
            "label": f"Toggle {sentences['tab.title']} Sidebar",
            "tooltip": sentences["tab.tooltip"],
        }
    }


# -- every language -------------------------------------------------------------------------------


def test_there_is_english() -> None:
    assert "en" in LANGUAGES


@each_language
@pytest.mark.parametrize("file", FILES)
def test_a_translation_holds_only_texts_that_comfyui_can_show(language: str, file: str) -> None:
    texts = locale(language, file)
    if file == "main":
        texts.pop("findBestModel", None)  # ComfyUI itself never formats these

    for path, text in leaves(texts):
        assert isinstance(text, str), path
        assert text.strip() == text != "", path
        assert not set(text) & set("{}|@"), f"{path}: these have a meaning in vue-i18n's messages"
    assert not any("." in name for path, _ in leaves(texts) for name in path)


@each_language
@pytest.mark.parametrize("file", FILES)
def test_a_translation_has_no_key_that_english_lacks(language: str, file: str) -> None:
    texts = locale(language, file)
    if file == "main":
        texts.pop("findBestModel", None)

    known = {path for path, _ in leaves(locale("en", file))}
    assert {path for path, _ in leaves(texts)} <= known


@each_language
def test_a_translated_sentence_of_the_sidebar_keeps_its_placeholders(language: str) -> None:
    english = english_sentences()

    for name, sentence in locale(language, "main").get("findBestModel", {}).items():
        assert name in english
        assert placeholders(sentence) == placeholders(english[name]), name


@each_language
def test_a_language_holds_nothing_that_comfyui_does_not_read(language: str) -> None:
    assert {path.name for path in (LOCALES / language).iterdir()} <= {f"{f}.json" for f in FILES}


# -- helpers --------------------------------------------------------------------------------------


def described(node_id: str) -> Texts:
    """What the code says of a node, as ``nodeDefs.json`` says it.

    Names are the code's with spaces; ComfyUI asks for outputs by their numbers.
    """
    node = NODE_CLASS_MAPPINGS[node_id]
    inputs = {
        name: {"name": spaced(name), "tooltip": declared[1]["tooltip"]}
        for kind, group in node.INPUT_TYPES().items()
        if kind != "hidden"
        for name, declared in group.items()
    }
    names = getattr(node, "RETURN_NAMES", ())
    tooltips = getattr(node, "OUTPUT_TOOLTIPS", ())
    outputs = {
        str(slot): {"name": spaced(name), "tooltip": tooltip}
        for slot, (name, tooltip) in enumerate(zip(names, tooltips, strict=True))
    }
    return {
        "display_name": NODE_DISPLAY_NAME_MAPPINGS[node_id],
        "description": node.DESCRIPTION,
        "inputs": inputs,
        "outputs": outputs,
    }


def spaced(name: str) -> str:
    return name.replace("_", " ")


def key(id_: str) -> str:
    """ComfyUI's key of a setting or command: a dot would lead one level down."""
    return id_.replace(".", "_")


def locale(language: str, file: str) -> Texts:
    """One file of a language; a language may lack it."""
    path = LOCALES / language / f"{file}.json"
    texts: Texts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return texts


def leaves(texts: Texts, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Everything in nested dicts that is none, with the keys that lead to it."""
    for name, value in texts.items():
        if isinstance(value, dict):
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name), value


def page(node_id: str) -> str:
    return (PAGES / f"{node_id}.md").read_text(encoding="utf-8")


def section(node_id: str, title: str) -> str:
    """The text under a heading, or nothing."""
    parts = re.split(r"^## (.+)\n", page(node_id), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title, "").strip()


def rows(node_id: str, title: str) -> list[str]:
    """The first cells of the table under a heading."""
    lines = [line for line in section(node_id, title).splitlines() if line.startswith("|")]
    return [line.strip("| ").split(" | ")[0] for line in lines[2:]]


def script(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, flags=re.DOTALL)
    assert match is not None, f"the front end does not look like {pattern} any more"
    return match[1]


def settings() -> list[Texts]:
    """What ``preferences.js`` registers: its list is JSON but for keys, names and functions."""
    source = script("gmi/preferences.js")
    constants = dict(re.findall(r'^const (\w+) = "([^"]+)";$', source, flags=re.MULTILINE))
    registered = found(r"export const preferences = \[\n(.*?)\n\];", source)
    parts = re.findall(r"^  \{\n(.*?)^  \},$", registered, flags=re.MULTILINE | re.DOTALL)
    assert len(parts) == registered.count("id:") > 0
    return [
        {
            "id": constants[found(r"\bid: (\w+),\n", part)],
            "name": json.loads(found(r'\bname: ("[^\n]*"),\n', part)),
            "tooltip": json.loads(found(r'\btooltip: ("[^\n]*"),\n', part)),
            "category": json.loads(found(r"\bcategory: (\[[^\]]*\])", part)),
        }
        for part in parts
    ]


def english_sentences() -> dict[str, str]:
    """The sentences of ``strings.js``, one a line."""
    source = found(r"const ENGLISH = \{\n(.*?)\n\};", script("gmi/strings.js"))
    lines = re.findall(r'^  "([^"]+)": (".*"),$', source, flags=re.MULTILINE)
    assert len(lines) > 50
    return {name: json.loads(sentence) for name, sentence in lines}


def placeholders(sentence: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", sentence))
