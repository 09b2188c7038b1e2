"""What the web UI lends to the tab."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import picture
from PIL import Image
from standins.webui.webui import ALPHA, BETA, GAMMA, SMALL

from lib_gmi.a1111.bridge import WebUIBridge
from lib_gmi.a1111.interrogator import interrogate
from lib_gmi.base.errors import GMIError, HostError, RankingError

if TYPE_CHECKING:
    from standins.webui.webui import WebUI

pytest_plugins = ["standins.webui.harness"]


@pytest.fixture
def bridge(webui: WebUI) -> WebUIBridge:
    """Of a web UI with three checkpoints."""
    return WebUIBridge()


def test_preferences_are_those_of_the_settings_page(webui: WebUI, bridge: WebUIBridge) -> None:
    assert bridge.preferences().blur is True
    webui.opts.data["gmi_blur"] = False
    assert bridge.preferences().blur is False
    assert bridge.api is webui.runtime.api
    assert bridge.program == "AUTOMATIC1111"


# -- checkpoints ----------------------------------------------------------------------------------


def test_loading_lasts_and_is_verified(webui: WebUI, bridge: WebUIBridge) -> None:
    assert bridge.current() == ALPHA
    bridge.load(BETA)
    assert (bridge.current(), webui.chosen, webui.loaded) == (BETA, BETA, BETA)
    assert bridge.title_of(BETA) == webui.info(BETA).title
    with pytest.raises(RankingError, match="not an installed checkpoint"):
        bridge.load("gone.safetensors")


def test_comparing_puts_back_what_was_loaded(webui: WebUI, bridge: WebUIBridge) -> None:
    """Nothing knows the hashes yet, and so the titles change while it compares."""
    images = bridge.compare([BETA, GAMMA], "a cat", 5)
    pixels = [np.asarray(image) for image in images]
    assert np.array_equal(pixels[0], np.asarray(picture(2, 5, 64)))
    assert np.array_equal(pixels[1], np.asarray(picture(3, 5, 64)))
    assert [made["p"].prompt.endswith("a cat") for made in webui.seen.generated] == [True, True]
    assert (webui.chosen, webui.loaded) == (ALPHA, ALPHA)
    assert webui.seen.saved == []
    assert webui.samples() == {ALPHA: 0, BETA: 0, GAMMA: 0}


def test_comparing_puts_back_after_trouble_too(webui: WebUI, bridge: WebUIBridge) -> None:
    webui.seen.unusable[GAMMA] = ValueError("size mismatch")
    with pytest.raises(HostError, match=r"gamma: .*size mismatch"):
        bridge.compare([BETA, GAMMA], "a cat", 5)
    assert (webui.chosen, webui.loaded) == (ALPHA, ALPHA)
    webui.seen.while_sampling = lambda _: webui.state.interrupt()
    with pytest.raises(HostError, match="interrupted"):
        bridge.compare([BETA], "a cat", 5)
    assert webui.loaded == ALPHA
    with pytest.raises(RankingError):
        bridge.compare([BETA, "gone.safetensors"], "a cat", 5)


def test_comparing_during_a_build_leaves_it_to_the_build_to_put_back(
    webui: WebUI, bridge: WebUIBridge
) -> None:
    compared: list[Any] = []

    def compare() -> None:
        thread = webui.in_another_thread(
            lambda: compared.extend(bridge.compare([GAMMA], "a cat", 5))
        )
        compared_by.append(thread)

    compared_by: list[Any] = []
    first = iter([compare])
    webui.seen.while_sampling = lambda _: next(first, lambda: None)()
    webui.build([BETA])
    compared_by[0].join(60)
    assert len(compared) == 1
    assert webui.samples()[BETA] == 6
    assert (webui.chosen, webui.loaded) == (ALPHA, ALPHA)


# -- prompts --------------------------------------------------------------------------------------


def with_parameters(text: Any) -> Image.Image:
    image = picture(1, 1)
    image.info["parameters"] = text
    return image


def test_a_prompt_comes_out_of_an_image_of_the_web_uis_own(
    webui: WebUI, bridge: WebUIBridge
) -> None:
    done = webui.txt2img("a cat, on a roof\nat night", negative_prompt="blurry")
    assert bridge.prompt_of(done.images[0]) == "a cat, on a roof\nat night"
    assert bridge.prompt_of(picture(1, 1)) is None


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("just words", "just words"),
        ("", None),
        ("   \n  ", None),
        ("Negative prompt: only\nSteps: 20, Sampler: Euler, Size: 8x8", None),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ('x\nSteps: "{[\\", Sampler: Euler, Size: 8x8, Seed: 1', "x"),
        ("x\n" + "Steps: 20, Sampler: Euler, Size: 8x8, " * 2000, "x"),
        ("\0\ud800", "\0\ud800"),
        (b"bytes", None),
        (17, None),
        (["a", "list"], None),
        ("(" * 5000, "(" * 5000),
    ],
    ids=range(12),
)
def test_what_strangers_wrote_is_a_prompt_or_nothing(
    bridge: WebUIBridge, text: Any, prompt: str | None
) -> None:
    assert bridge.prompt_of(with_parameters(text)) == prompt


def test_an_older_web_ui_calls_its_parser_otherwise(
    webui: WebUI, bridge: WebUIBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    import modules

    found = webui.module("infotext_utils")
    monkeypatch.setitem(sys.modules, "modules.infotext_utils", None)
    monkeypatch.delattr(modules, "infotext_utils")
    monkeypatch.setattr(modules, "generation_parameters_copypaste", found, raising=False)
    assert bridge.prompt_of(with_parameters("a cat")) == "a cat"
    bridge.connect_send("button", "text")
    (binding,) = found.registered_param_bindings
    assert (binding.paste_button, binding.source_text_component) == ("button", "text")
    assert binding.tabname == "txt2img"


@pytest.mark.parametrize("prompt", ["a cat", "a cat,\non a roof: at night", "Steps: 3, Size: 8x8"])
def test_txt2img_reads_what_is_sent_to_it(webui: WebUI, bridge: WebUIBridge, prompt: str) -> None:
    webui.host.calculate_hash(BETA)
    settings = {**SMALL, "cfg": 4.5, "sampler": "dpmpp_2m", "scheduler": "karras", "clip_skip": 2}
    webui.change(BETA, **settings, negative="ugly, blurry")
    fields = webui.module("infotext_utils").parse_generation_parameters(
        bridge.infotext(BETA, prompt)
    )
    assert fields["Prompt"].endswith(prompt.replace("\n", " "))
    assert fields["Negative prompt"] == "ugly, blurry"
    assert (fields["Steps"], fields["CFG scale"], fields["Clip skip"]) == ("3", "4.5", "2")
    assert (fields["Sampler"], fields["Schedule type"]) == ("DPM++ 2M", "Karras")
    assert (fields["Size-1"], fields["Size-2"]) == ("64", "64")
    hash_ = fields["Model hash"]
    assert webui.module("sd_models").checkpoint_aliases[hash_].name == BETA


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("", "ugly, blurry"),
        ("  ", "ugly, blurry"),
        ("my own,\nin two lines", "my own,\nin two lines"),
    ],
)
def test_the_users_negative_prompt_goes_before_the_checkpoints(
    webui: WebUI, bridge: WebUIBridge, own: str, expected: str
) -> None:
    webui.change(BETA, **SMALL, negative="ugly, blurry")
    fields = webui.module("infotext_utils").parse_generation_parameters(
        bridge.infotext(BETA, "a cat", own)
    )
    assert (fields["Prompt"].endswith("a cat"), fields["Negative prompt"]) == (True, expected)


def test_a_checkpoint_without_a_known_hash_is_sent_without_one(
    webui: WebUI, bridge: WebUIBridge
) -> None:
    assert "Model hash" not in bridge.infotext(BETA, "a cat")
    with pytest.raises(RankingError):
        bridge.infotext("gone.safetensors", "a cat")


def test_images_of_colours_and_none_can_be_described(webui: WebUI, bridge: WebUIBridge) -> None:
    asked: list[Any] = []

    class Interrogator:
        def interrogate(self, pil_image: Image.Image) -> str:
            asked.append((pil_image.mode, webui.lock._lock.locked()))
            return " a cat \n"

    webui.module("shared").interrogator = Interrogator()
    assert interrogate(Image.new("RGBA", (8, 8))) == "a cat"
    assert asked == [("RGB", True)]
    assert not webui.lock._lock.locked()


@pytest.mark.parametrize("said", [None, "", "  ", "<error>", " <error> "])
def test_an_interrogator_that_does_not_work_says_so(
    webui: WebUI, bridge: WebUIBridge, said: str | None
) -> None:
    class Interrogator:
        def interrogate(self, pil_image: Image.Image) -> str | None:
            return said

    webui.module("shared").interrogator = Interrogator()
    with pytest.raises(HostError, match="interrogator does not work here"):
        interrogate(picture(1, 1))


def test_an_interrogator_that_raises_says_so(webui: WebUI, bridge: WebUIBridge) -> None:
    class Interrogator:
        def interrogate(self, pil_image: Image.Image) -> str:
            raise OSError("no such model")

    for broken in (Interrogator(), None):
        webui.module("shared").interrogator = broken
        with pytest.raises(HostError, match="interrogator does not work here"):
            interrogate(picture(1, 1))
    assert not webui.lock._lock.locked()


# -- previews -------------------------------------------------------------------------------------


def test_a_preview_is_the_checkpoints_own_sample(webui: WebUI, bridge: WebUIBridge) -> None:
    with pytest.raises(GMIError, match="has no samples yet"):
        bridge.make_preview(BETA)
    webui.build([BETA])
    assert not bridge.preview_exists(BETA)
    bridge.make_preview(BETA)
    path = webui.models / "anime" / "beta.preview.png"
    with Image.open(path) as image:
        assert image.size == (64, 64)
        assert image.info == {}
    assert bridge.preview_exists(BETA)
    with pytest.raises(GMIError, match="has a preview already"):
        bridge.make_preview(BETA)
    bridge.undo_preview(BETA)
    assert not path.exists()
    assert webui.info(BETA).filename == str(webui.candidate(BETA).path)


def test_without_kept_samples_there_is_no_preview(webui: WebUI, bridge: WebUIBridge) -> None:
    webui.opts.data["gmi_keep_samples"] = False
    webui.build([BETA])
    with pytest.raises(GMIError, match="its sample images were not kept"):
        bridge.make_preview(BETA)


def test_previews_of_others_stay(webui: WebUI, bridge: WebUIBridge) -> None:
    webui.build([BETA])
    theirs = webui.models / "anime" / "beta.jpg"
    theirs.write_bytes(b"theirs")
    assert bridge.preview_exists(BETA)
    with pytest.raises(GMIError, match="has a preview already"):
        bridge.make_preview(BETA)
    with pytest.raises(GMIError, match="was not made here"):
        bridge.undo_preview(BETA)
    assert sorted(path.name for path in Path(theirs.parent).iterdir()) == [
        "beta.jpg",
        "beta.safetensors",
    ]
