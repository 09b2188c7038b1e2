"""clip-interrogator's own pipeline, with models of random weights that are far smaller."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture

from lib_gmi.base.errors import InterrogationStoppedError, InterrogatorError, MissingExtraError
from lib_gmi.interrogators import clip_interrogator as ours
from lib_gmi.interrogators.clip_interrogator import ClipInterrogator, Models

package = pytest.importorskip("clip_interrogator.clip_interrogator")
pytestmark = [
    # of libraries that these tests only stand on
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "patch_size": 16, "head_width": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def random_models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A CLIP and a BLIP of the real architectures, far smaller, with random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    (folder / "gmi-random-tiny.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder / "gmi-random-tiny.json")
    clip = open_clip.create_model("gmi-random-tiny")
    weights = folder / "tiny.safetensors"
    save_file({k: v.contiguous() for k, v in clip.state_dict().items()}, weights)
    _random_blip(folder / "blip")
    return Models(str(folder / "blip"), "gmi-random-tiny/random", str(weights))


def _random_blip(folder: Path) -> None:
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    small: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 16,
    }
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog", "sky", "red", "old"]
    text = {
        **small,
        "vocab_size": len(words),
        "encoder_hidden_size": 16,
        "max_position_embeddings": 64,
        "bos_token_id": 2,
        "sep_token_id": 3,
        "eos_token_id": 3,
        "pad_token_id": 0,
    }
    vision = {**small, "image_size": 32, "patch_size": 16}
    model = BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
    )
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(
        folder
    )


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever opens a connection fails; and a few phrases do instead of 105,000."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something went to the network")

    def few(data_path: str, filename: str | None = None) -> list[str]:
        return [f"{str(filename).removesuffix('.txt')} {number}" for number in range(5)]

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(package, "load_list", few)
    ours._parts.cache_clear()
    yield
    ours._parts.cache_clear()


class Counting:
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.said: list[tuple[int, int, str]] = []

    def update(self, done: int, total: int, message: str = "") -> None:
        self.said.append((done, total, message))


@pytest.mark.parametrize("mode", ["fast", "classic", "best"])
def test_the_packages_pipeline_runs_with_small_random_models(
    random_models: Models, tmp_path: Path, mode: str
) -> None:
    interrogator, progress = ClipInterrogator(mode, random_models, tables=tmp_path), Counting()
    said = interrogator.interrogate(picture(1, 1, 48), progress)
    assert said is not None
    assert (said.source, said.confidence) == (f"clip-interrogator:{mode}", None)
    words = {"cat", "dog", "sky", "red", "old"}
    assert words & set(said.text.replace(",", " ").split()), "the caption is in it"
    assert any(name in said.text for name in ("artists", "flavors", "movements", "mediums", "by "))
    assert progress.said
    assert all(0 < done <= total for done, total, _ in progress.said)
    tables = list(tmp_path.rglob("*.safetensors"))
    assert len(tables) == 6, "tables are kept"
    again = ClipInterrogator(mode, random_models, tables=tmp_path)
    assert again.interrogate(picture(1, 1, 48)) == said


def test_it_can_be_stopped_between_two_steps_with_small_random_models(
    random_models: Models, tmp_path: Path
) -> None:
    progress = Counting()
    interrogator = ClipInterrogator("best", random_models, tables=tmp_path)
    with pytest.raises(InterrogationStoppedError):
        interrogator.interrogate(picture(1, 1, 48), progress, lambda: len(progress.said) >= 7)
    assert len(progress.said) == 7


def test_a_caption_can_be_stopped_with_small_random_models(
    random_models: Models, tmp_path: Path
) -> None:
    looks: list[int] = []

    def stopped() -> bool:
        looks.append(0)
        return len(looks) > 12  # the tables take ten looks; then come words

    with pytest.raises(InterrogationStoppedError):
        ClipInterrogator("fast", random_models, tables=tmp_path).interrogate(
            picture(1, 1, 48), None, stopped
        )


def test_damaged_tables_are_made_again_with_small_random_models(
    random_models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrogator = ClipInterrogator("fast", random_models, tables=tmp_path)
    said = interrogator.interrogate(picture(1, 1, 48))
    for table in tmp_path.rglob("*.safetensors"):
        table.write_bytes(table.read_bytes()[:40])
    assert interrogator.interrogate(picture(1, 1, 48)) == said


def test_other_weights_have_other_tables_with_small_random_models(
    random_models: Models, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    arrays = load_file(random_models.weights)
    other = tmp_path / "other.safetensors"
    save_file({k: np.asarray(v + 1, v.dtype) for k, v in arrays.items()}, other)
    changed = Models(random_models.caption, random_models.clip, str(other))
    for models in (random_models, changed):
        ClipInterrogator("fast", models, tables=tmp_path).interrogate(picture(1, 1, 48))
    folders = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(folders) == 2
    assert ClipInterrogator("fast", changed).version != ClipInterrogator("fast").version


def test_models_that_are_not_here_are_named_with_their_sizes_and_not_fetched(
    random_models: Models, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GMI_CAPTION_MODEL", "")
    with pytest.raises(MissingExtraError, match=r"1.7 GB.*GMI_CLIP_WEIGHTS"):
        ClipInterrogator("fast", tables=tmp_path).interrogate(picture(1, 1))
    captions = Models("blip-large", random_models.clip, random_models.weights)
    with pytest.raises(MissingExtraError, match=r"1.9 GB.*GMI_CAPTION_MODEL"):
        ClipInterrogator("fast", captions, tables=tmp_path).interrogate(picture(1, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "pickle.pt"}, "is no .safetensors file"),
        ({"clip": "ViT-L-15/openai"}, "no model of open_clip"),
        ({"clip": "ViT-L-14"}, "no model of open_clip"),
        ({"caption": "blip-huge"}, "neither a folder nor one of"),
        ({"weights": "half.safetensors"}, "is not a whole safetensors file"),
        ({"clip": "ViT-B-32/random"}, "are not weights of ViT-B-32"),
    ],
)
def test_wrong_models_are_refused(
    random_models: Models, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    whole = Path(random_models.weights).read_bytes()
    (tmp_path / "pickle.pt").write_bytes(b"\x80\x04N.")
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    wrong = {**vars(random_models), **change}
    if "weights" in change:
        wrong["weights"] = str(tmp_path / change["weights"])
    with pytest.raises(InterrogatorError, match=message):
        ClipInterrogator("fast", Models(**wrong), tables=tmp_path).interrogate(picture(1, 1))


def test_the_answer_of_the_wrapped_model_is_the_models_own(random_models: Models) -> None:
    """The watch changes nothing: embeddings equal those of open_clip itself."""
    import open_clip
    import torch

    parts = ours._parts(random_models, "cpu")
    tokens = open_clip.get_tokenizer("gmi-random-tiny")(["a cat", "a dog"])
    direct = open_clip.create_model("gmi-random-tiny", pretrained=random_models.weights).eval()
    watch = ours._Watch(Counting(), lambda: False)
    with torch.no_grad():
        found = ours._WatchedClip(parts.clip, watch).encode_text(tokens).numpy()
        assert np.allclose(found, direct.encode_text(tokens).numpy(), atol=1e-6)
