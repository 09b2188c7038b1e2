"""What several test modules share: a private library folder, tiny encoders, pictures in folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lib_gmi.base.paths import LIBRARY_VARIABLE
from lib_gmi.encoders import registry
from lib_gmi.encoders.base import BaseTextEncoder, ImageEncoder
from lib_gmi.encoders.info import Block, EncoderInfo, TextEncoderInfo
from lib_gmi.records.prompts import Prompt, PromptSet
from lib_gmi.records.specification import CandidateRef, PromptSetRef, Specification

#: What imports ``lib_gmi`` in a second process, wherever the tests are started from.
SOURCE_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def library_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a library of its own; nobody's real one is ever touched."""
    folder = tmp_path / "library"
    monkeypatch.setenv(LIBRARY_VARIABLE, str(folder))
    return folder


# -- encoders that load nothing -------------------------------------------------------------------


class TinyEncoder(ImageEncoder):
    """Mean and deviation of each colour over the image and its four quarters: 30 numbers."""

    DIM = 30

    def encode_batch(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        return np.stack([self._one(image) for image in images])

    def _one(self, image: Image.Image) -> NDArray[np.float32]:
        small = np.asarray(image.resize((8, 8), Image.Resampling.BOX), np.float32) / 255
        parts = [small, small[:4, :4], small[:4, 4:], small[4:, :4], small[4:, 4:]]
        moments = [(part.mean(axis=(0, 1)), part.std(axis=(0, 1))) for part in parts]
        return np.ravel(moments).astype(np.float32)


class WordsEncoder(BaseTextEncoder):
    """Each word has a fixed direction; a text is their sum, of unit length."""

    DIM = 8

    def encode_text_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [np.sum([self._word(word) for word in text.split()], axis=0) for text in texts]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)

    def _word(self, word: str) -> NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
        return np.random.default_rng(seed).standard_normal(self.text_dim)


TINY, OTHER = "test/tiny@v1", "test/other@v1"
WORDS, OTHER_WORDS = "test/words", "test/other-words"
OTHER_WORDS_DIM = 5

if not any(info.id == TINY for info in registry.images()):
    for id_ in (TINY, OTHER):
        registry.add(
            EncoderInfo(
                name=id_.partition("@")[0],
                preprocessing="v1",
                dim=TinyEncoder.DIM,
                blocks=(Block("moments", 0, TinyEncoder.DIM),),
                gamma=2.0,
                summary="for tests",
                load=lambda device, id_=id_: TinyEncoder(id_, TinyEncoder.DIM),
            )
        )
    for id_, dim in ((WORDS, WordsEncoder.DIM), (OTHER_WORDS, OTHER_WORDS_DIM)):
        registry.add_text(
            TextEncoderInfo(
                id=id_,
                text_dim=dim,
                summary="for tests",
                extra=None,
                load=lambda device, id_=id_, dim=dim: WordsEncoder(id_, dim),
            )
        )


def tiny_encoder() -> TinyEncoder:
    """The image encoder that tests use where the real one would only be slower."""
    return TinyEncoder(TINY, TinyEncoder.DIM)


def words_encoder(name: str = WORDS, dim: int = WordsEncoder.DIM) -> WordsEncoder:
    """The text encoder that tests use."""
    return WordsEncoder(name, dim)


# -- pictures -------------------------------------------------------------------------------------


def picture(style: int, content: int, side: int = 32) -> Image.Image:
    """A smooth picture: ``content`` decides the shapes, ``style`` the tint and the contrast."""
    y, x = np.mgrid[0:side, 0:side] / side
    shapes = np.random.default_rng(content).uniform(-1, 1, (3, 3))
    waves = np.stack([np.sin(6 * (a * x + b * y + c)) for a, b, c in shapes], axis=-1)
    tint = 128 + 60 * np.cos(2.4 * style + np.array([0, 2.1, 4.2]))
    pixels = tint + (15 + 9 * (style % 4)) * waves
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


def prompt_set(count: int = 6, name: str = "test") -> PromptSet:
    """Prompts called ``p00``, ``p01``, …"""
    rows = (Prompt(f"p{i:02d}", {"natural": f"picture number {i}"}) for i in range(count))
    return PromptSet(name, "1", tuple(rows))


def write_image_folder(folder: Path, candidates: Sequence[str], prompts: int = 6) -> Path:
    """A folder as :class:`lib_gmi.hosts.folder.FolderHost` reads it."""
    ids = prompt_set(prompts).ids
    rows = [{"id": id_, "prompt": f"picture number {i}"} for i, id_ in enumerate(ids)]
    for style, candidate in enumerate(candidates):
        images = folder / "images" / candidate
        images.mkdir(parents=True)
        for content, prompt_id in enumerate(ids):
            picture(style, content).save(images / f"{prompt_id}.png")
    (folder / "prompts.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


# -- specifications -------------------------------------------------------------------------------


def make_specification(
    title: str = "Alpha",
    prompts: int = 4,
    *,
    first_prompt: int = 0,
    seed: int = 0,
    dim: int = TinyEncoder.DIM,
    text_dim: int | None = WordsEncoder.DIM,
    **changes: Any,
) -> Specification:
    """A small specification of the candidate ``sha256:<title>``.

    ``seed`` decides its features; ``changes`` replaces any field of it.
    """
    rng = np.random.default_rng(seed)
    numbers = range(first_prompt, first_prompt + prompts)
    specification = Specification(
        candidate=CandidateRef(f"sha256:{title}", title, f"{title}.safetensors", size=7),
        encoder_id=TINY,
        features=rng.standard_normal((prompts, dim)),
        prompt_ids=tuple(f"p{i:02d}" for i in numbers),
        seeds=tuple(1000 + i for i in numbers),
        prompt_set=PromptSetRef("test", "1", "hash-1", 20),
        text_encoder_id=None if text_dim is None else WORDS,
        prompt_embeddings=None if text_dim is None else rng.standard_normal((prompts, text_dim)),
        updated=1.0,
    )
    return replace(specification, **changes)


def assert_same_specification(left: Specification, right: Specification) -> None:
    """Equal to the last bit: description and arrays."""
    assert left.describe() == right.describe()
    assert np.array_equal(left.features, right.features)
    assert (left.prompt_embeddings is None) == (right.prompt_embeddings is None)
    if left.prompt_embeddings is not None and right.prompt_embeddings is not None:
        assert np.array_equal(left.prompt_embeddings, right.prompt_embeddings)


def part_of(specification: Specification, prompt_ids: Sequence[str]) -> Specification:
    """The part of a specification that was built on the given prompts."""
    wanted = set(prompt_ids)
    rows = [i for i, p in enumerate(specification.prompt_ids) if p in wanted]
    return replace(
        specification,
        features=specification.features[rows],
        prompt_ids=tuple(specification.prompt_ids[i] for i in rows),
        seeds=tuple(specification.seeds[i] for i in rows),
        prompt_embeddings=None
        if specification.prompt_embeddings is None
        else specification.prompt_embeddings[rows],
        rejected=tuple(r for r in specification.rejected if r.prompt_id in wanted),
        extra_tensors={},
    )
