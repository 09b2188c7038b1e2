"""The joint space without CLIP, with real weights and the data that ship."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import picture
from PIL import Image

from benchmarks.label_data import class_embeddings, text_centre
from lib_gmi.base.errors import EncoderError, ImageError
from lib_gmi.encoders import JOINT_DEFAULT, efficientnet_lite, labels, load_joint
from lib_gmi.encoders import text as text_encoder
from lib_gmi.records.protocols import JointEncoder


def photograph(name: str) -> Image.Image:
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(getattr(data, name)())


def test_the_classifier_is_the_packages_own() -> None:
    """Logits equal those of the reference implementation with the same weights."""
    import torch

    reference = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet
    model = reference.from_pretrained(
        "efficientnet-lite0", weights_path=str(efficientnet_lite.weights_path())
    ).eval()
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    net = efficientnet_lite.load()
    with torch.inference_mode():
        ours = net.classify(
            net.head(pixels.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        )
        theirs = model(pixels)
    assert ours.numpy() == pytest.approx(theirs.numpy(), abs=2e-3)


def test_a_cat_is_a_cat_and_coffee_is_coffee() -> None:
    looks = labels.look([photograph("chelsea"), photograph("coffee")])
    best = [labels.names()[i] for i in labels.softmax(looks.small).argmax(axis=1)]
    assert best[0] in ("tabby", "tiger cat", "Egyptian cat")
    assert best[1] in ("espresso", "cup", "coffee mug", "eggnog")


def test_images_and_texts_share_a_space() -> None:
    joint = load_joint()
    assert isinstance(joint, JointEncoder)
    assert (joint.id, joint.dim) == (JOINT_DEFAULT, 384)
    images = joint.encode_images(
        [photograph("chelsea"), photograph("coffee"), photograph("rocket")]
    )
    texts = joint.encode_texts(
        ["a cat", "a cup of coffee on a table", "a rocket before its launch"]
    )
    assert images.shape == texts.shape == (3, 384)
    assert np.linalg.norm(images, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(texts, axis=1) == pytest.approx(1, abs=1e-5)
    assert (images @ texts.T).argmax(axis=1).tolist() == [0, 1, 2]
    assert load_joint() is joint


def test_an_image_does_not_depend_on_its_company() -> None:
    joint = load_joint()
    images = [photograph("chelsea"), picture(1, 1, 64), picture(2, 2, 200)]
    together = joint.encode_images(images)
    alone = np.concatenate([joint.encode_images([image]) for image in images])
    assert together == pytest.approx(alone, abs=1e-4)
    assert joint.encode_images([]).shape == joint.encode_texts([]).shape == (0, 384)


@pytest.mark.parametrize("size", [(1, 1), (3000, 10), (8660, 5774)])
def test_tiny_long_and_50_megapixel_images(size: tuple[int, int]) -> None:
    assert np.isfinite(load_joint().encode_images([Image.new("RGB", size, "teal")])).all()


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ImageError):
        load_joint().encode_images([Image.new("RGB", (0, 5))])


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_text_is_refused(text: str) -> None:
    with pytest.raises(EncoderError, match="empty text"):
        load_joint().encode_texts(["a cat", text])


@pytest.mark.parametrize(
    "text", ["eine Katze", "猫", "кошка", "🐈", "a cat " * 5000, "\x00", "\u202e"]
)
def test_any_language_and_any_length_is_embedded(text: str) -> None:
    found = load_joint().encode_texts([text])
    assert np.isfinite(found).all()
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_what_ships_is_what_the_command_makes() -> None:
    arrays = labels.read_arrays(labels.arrays_path())
    some = [0, 281, 282, 504, 967, 999]
    rows = [labels.rows()[i] for i in some]
    assert arrays["classes"][some] == pytest.approx(class_embeddings(rows), abs=1e-3)
    assert arrays["text_centre"] == pytest.approx(text_centre(), abs=1e-3)
    assert 0.01 < np.linalg.norm(arrays["image_centre"]) < 1


def test_names_are_those_of_imagenet() -> None:
    names = labels.names()
    assert (len(names), len(set(names))) == (1000, 1000)
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet tissue")
    assert all(all(row.values()) for row in labels.rows())


def test_damaged_data_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    broken = folder / "arrays.safetensors"
    whole = labels.arrays_path().read_bytes()
    for data in (b"", whole[:1000], whole[:-1], b"\xff" * 100):
        broken.write_bytes(data)
        with pytest.raises(EncoderError, match="is damaged"):
            labels.read_arrays(broken)
    (folder / "names.json").write_text('{"classes": [1]}')
    monkeypatch.setattr(labels, "names_path", lambda: folder / "names.json")
    with pytest.raises(EncoderError, match="is damaged"):
        labels.rows()


def test_an_unknown_joint_encoder_lists_what_there_is() -> None:
    with pytest.raises(EncoderError, match=JOINT_DEFAULT):
        load_joint("labels/other")


def test_a_text_that_is_cut_says_so() -> None:
    encoder = text_encoder.load()
    assert encoder.note("a red fox") is None
    note = encoder.note("a red fox, " * 200)
    assert note is not None
    assert "at most 256 tokens" in note
