"""Encoders of open_clip, on a small network of random weights made here; nothing is fetched."""

from __future__ import annotations

import builtins
import json
import pickle
import socket
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SOURCE_ROOT, make_specification, picture, write_image_folder
from PIL import Image

from lib_gmi.base.errors import EncoderError, MissingExtraError
from lib_gmi.base.paths import remembered_files
from lib_gmi.cli import main as cli
from lib_gmi.encoders import (
    DEFAULT,
    load,
    load_joint,
    load_text,
    openclip,
    openclip_network,
    openclip_weights,
    registry,
    release,
)
from lib_gmi.encoders import openclip_names as names
from lib_gmi.encoders.openclip_network import Network
from lib_gmi.ranking.query import QueryEncoder
from lib_gmi.ranking.stack import stack
from lib_gmi.records.protocols import JointEncoder, TextEncoder

CONFIG: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 64,
        "patch_size": 8,
        "head_width": 16,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
MODEL = "test-small"
TEXTS = ["a cat on a sofa", "", "ein Bär im Wald", "夜の街 🌃", "\ud800 half a character", "\x00\n"]


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any, Path]:
    """open_clip called directly: network, transform, tokenizer, and its weights in a file."""
    import torch
    from safetensors.torch import save_file

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what open_clip imports
        import open_clip
    folder = tmp_path_factory.mktemp("model")
    (folder / f"{MODEL}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / f"{MODEL}.json")
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms(MODEL)
    weights = folder / "open_clip_model.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, weights)
    described = {"model_cfg": CONFIG, "preprocess_cfg": {"resize_mode": "squash", "mean": 0.5}}
    (folder / names.CONFIG_FILE).write_text(json.dumps(described))
    return model.eval(), transform, open_clip.get_tokenizer(MODEL), weights


@pytest.fixture
def weights(direct: tuple[Any, Any, Any, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file; and nothing is permitted, whatever this machine's environment says."""
    monkeypatch.delenv(openclip_weights.ALLOW_DOWNLOAD, raising=False)
    monkeypatch.delenv(openclip_weights.ALLOW_PICKLE, raising=False)
    return direct[3]


def named(weights: Path) -> str:
    return f"openclip/{MODEL}/file:{weights}"


def images(count: int = 5) -> list[Image.Image]:
    return [picture(1, content, side=40 + 9 * content) for content in range(count)]


# -- the same numbers as open_clip's ---------------------------------------------------------------


def test_images_and_texts_equal_those_of_open_clip(direct: Any, weights: Path) -> None:
    import torch

    model, transform, tokenizer, _ = direct
    encoder, texts = load_joint(named(weights)), load_text(named(weights))
    pixels = [*images(), Image.new("RGB", (90, 33), "red")]
    with torch.no_grad():
        seen = model.encode_image(torch.stack([transform(image) for image in pixels])).numpy()
        clean = [text.encode("utf-8", "replace").decode() for text in TEXTS]
        read = model.encode_text(tokenizer(clean), normalize=True).numpy()
    assert encoder.encode_images(pixels) == pytest.approx(seen, abs=1e-5)
    assert np.linalg.norm(seen, axis=1).max() > 1.01, "raw, not of unit length"
    assert encoder.encode_texts(TEXTS) == pytest.approx(read, abs=1e-5)
    assert texts.encode_texts(TEXTS) == pytest.approx(read, abs=1e-5)
    assert encoder.dim == registry.info(named(weights)).dim == 48
    assert texts.text_dim == registry.text_info(named(weights)).text_dim == 48


def test_a_folder_brings_its_own_preprocessing(direct: Any, weights: Path) -> None:
    import torch
    from open_clip import image_transform

    model = direct[0]
    encoder = load_joint(f"openclip/file:{weights.parent}")
    transform = image_transform(32, is_train=False, mean=(0.5,) * 3, resize_mode="squash")
    wide = [Image.effect_noise((90, 40), 80).convert("RGB")]
    with torch.no_grad():
        seen = model.encode_image(torch.stack([transform(image) for image in wide])).numpy()
    assert encoder.encode_images(wide) == pytest.approx(seen, abs=1e-5)
    assert encoder.id.startswith("openclip/custom-48/sha256-")
    assert "@32-squash-bicubic-" in encoder.id
    assert load(encoder.id) is encoder


def test_encoders_keep_their_contract(weights: Path) -> None:
    encoder, texts = load(named(weights)), load_text(named(weights))
    assert isinstance(encoder, JointEncoder)
    assert isinstance(texts, TextEncoder)
    assert texts.id == encoder.id.partition("@")[0]
    assert registry.info(encoder.id).id == encoder.id
    assert load(encoder.id) is load(named(weights)), "loaded once a process"
    assert load_text(texts.id).id == texts.id
    with pytest.raises(EncoderError, match=r"encodes images only.*openclip"):
        load_joint(DEFAULT)


# -- names -----------------------------------------------------------------------------------------


def test_the_id_says_what_the_file_holds_not_where_it_lies(weights: Path, tmp_path: Path) -> None:
    before = registry.info(named(weights)).id
    copy = tmp_path / "elsewhere+at@home" / "other name.safetensors"
    copy.parent.mkdir()
    copy.write_bytes(weights.read_bytes())
    assert registry.info(named(copy)).id == before
    assert str(tmp_path) not in before
    assert json.loads(remembered_files().read_bytes())[before.partition("@")[0]]["path"] == str(
        copy
    )
    copy.unlink()
    with pytest.raises(EncoderError, match=r"no longer there.*--remember"):
        openclip_network.source(names.parse(before)).load("cpu")
    registry.info(named(weights))  # named again: known again
    assert openclip_network.source(names.parse(before)).load("cpu").context == 16


def test_a_replaced_file_is_another_encoder(weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "w.safetensors"
    copy.write_bytes(weights.read_bytes())
    before = registry.info(named(copy)).id
    save_file({k: v + 1 for k, v in load_file(weights).items()}, copy)
    with pytest.raises(EncoderError, match="was replaced"):
        openclip_network.source(names.parse(before))
    assert registry.info(named(copy)).id != before


def test_an_id_from_another_machine_can_be_ranked_but_not_loaded(weights: Path) -> None:
    id_ = f"openclip/{MODEL}/sha256-0123456789abcdef@32-shortest-bicubic-clip"
    info = registry.info(id_)
    assert (info.id, info.dim, info.blocks[0].stop) == (id_, 48, 48)
    specifications = [make_specification(t, encoder_id=id_, dim=48, seed=i) for i, t in ENUMERATED]
    found, excluded = stack(specifications)
    assert found is not None
    assert not excluded
    with pytest.raises(EncoderError, match=r"not known on this machine.*--remember"):
        load(id_)
    with pytest.raises(EncoderError, match="not known on this machine"):
        load_text(id_.partition("@")[0])


ENUMERATED = list(enumerate(["Alpha", "Beta"]))


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": 1}', b'{"a": {"path": 3}}', b"\xff{"])
def test_damaged_notes_are_forgotten(weights: Path, content: bytes) -> None:
    remembered_files().parent.mkdir(parents=True, exist_ok=True)
    remembered_files().write_bytes(content)
    assert load(registry.info(named(weights)).id).dim == 48


def test_a_file_is_known_in_this_process_where_nothing_can_be_noted(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"no folder")
    monkeypatch.setattr(names, "remembered_files", lambda: tmp_path / "file" / "notes.json")
    monkeypatch.setattr(names, "_noted", {})
    found = names.parse(named(weights))
    read: list[Path] = []
    monkeypatch.setattr(names, "sha256_of", read.append)
    assert names.locate(found).path == weights
    assert read == [], "gigabytes are not read again"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openclip/ViT-B-33/openai", "Unknown model of open_clip 'ViT-B-33'.*ViT-B-32"),
        ("openclip/ViT-B-32/opnai", "Unknown weights of ViT-B-32 'opnai'.*openai"),
        ("openclip/ViT-B-32", "not complete"),
        ("openclip/", "not complete"),
        ("openclip/../../etc/passwd", "Unknown model"),
        ("openclip/file:/nowhere", "needs open_clip_config.json"),
        (f"openclip/{MODEL}/file:/nowhere", "cannot be read"),
        (f"openclip/{MODEL}/openai", "Name a file of your own"),
        ("openclip/file:~nobody-of-that-name", "no such home folder|needs open_clip_config"),
    ],
)
def test_wrong_names_are_explained(weights: Path, name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        registry.info(name)


def test_an_id_of_another_version_is_refused(weights: Path) -> None:
    plain = registry.info(named(weights)).name
    with pytest.raises(EncoderError, match="another version"):
        load(f"{plain}@224-squash-bilinear-half")


def test_names_and_ids_need_neither_torch_nor_open_clip() -> None:
    code = (
        "import sys; from lib_gmi.encoders import registry; "
        "print(registry.info('openclip/ViT-B-32/openai@224-shortest-bicubic-clip').dim); "
        "registry.text_info('openclip/ViT-B-32/openai'); "
        "print(sorted({'torch', 'open_clip', 'PIL'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SOURCE_ROOT
    )
    assert ran.stdout.split("\n")[:2] == ["512", "[]"]


def test_without_open_clip_a_library_lists_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    id_ = "openclip/ViT-B-32/openai@224-shortest-bicubic-clip"
    found, excluded = stack([make_specification(encoder_id=id_, dim=512, text_encoder_id=id_)])
    assert found is None
    assert "pip install open_clip_torch" in excluded[0].reason
    assert cli.main(["encoders"]) == 0
    assert "openclip/MODEL/TAG" in capsys.readouterr().out
    assert cli.main(["encoders", "--openclip"]) == 2
    assert "pip install open_clip_torch" in capsys.readouterr().err


# -- texts -----------------------------------------------------------------------------------------


def test_what_is_longer_than_the_context_is_told(weights: Path) -> None:
    encoder = load_joint(named(weights))
    fits, over = " ".join(["cat"] * 14), " ".join(["cat"] * 15)  # beside a start and an end token
    texts = ["", fits, over, "x" * 100_000, " " * 100_000 + "cat"]
    overflows = [encoder.note(text) is not None for text in texts]
    assert overflows == [False, False, True, True, False]
    rows = encoder.encode_texts(texts)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    wanted = QueryEncoder(encoder).requirement(images(1), over, load_text(named(weights)))
    assert "its end was not used" in wanted.notes[0]
    again = QueryEncoder(encoder).requirement(images(1), fits, load_text(named(weights)))
    assert not again.notes


# -- files that are not what they should be --------------------------------------------------------


def test_half_a_file_is_recognised(weights: Path, tmp_path: Path) -> None:
    data = weights.read_bytes()
    for size in (0, 5, 100, len(data) // 2, len(data) - 1):
        half = tmp_path / f"half-{size}.safetensors"
        half.write_bytes(data[:size])
        with pytest.raises(EncoderError, match="stopped halfway") as caught:
            load(named(half))
        assert half.name in str(caught.value)


def test_weights_of_another_architecture_are_refused(weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(weights)
    state.pop("ln_final.weight")
    state["surplus"] = state["logit_scale"] + 0
    state["text_projection"] = state["text_projection"][:, :7].contiguous()
    wrong = tmp_path / "wrong.safetensors"
    save_file(state, wrong)
    with pytest.raises(EncoderError, match=f"not weights of {MODEL}") as caught:
        load(named(wrong))
    for part in ("ln_final.weight", "surplus", "text_projection", "wrong.safetensors"):
        assert part in str(caught.value)


class _Evil:
    """Writes a file when it is unpickled by a reader that is not careful."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.open, (str(self._mark), "w")


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.safetensors"])
def test_a_pickle_is_read_only_where_the_user_says_so(
    weights: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import load_file

    path = tmp_path / name
    state = {f"module.{k}": v for k, v in load_file(weights).items()}
    torch.save({"state_dict": state, "file": name}, path)  # no two are the same encoder
    with pytest.raises(EncoderError, match=r"is a pickle.*GMI_ALLOW_PICKLE=1"):
        load(named(path))
    monkeypatch.setenv(openclip_weights.ALLOW_PICKLE, "1")
    seen = load(named(path)).encode_images(images(2))
    assert seen == pytest.approx(load(named(weights)).encode_images(images(2)), abs=1e-6)


@pytest.mark.parametrize("modern", [True, False])
def test_an_evil_pickle_runs_nothing_even_then(
    tmp_path: Path, modern: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv(openclip_weights.ALLOW_PICKLE, "1")

    path, mark = tmp_path / "evil.pt", tmp_path / "mark"
    if modern:
        torch.save({"weight": _Evil(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": _Evil(mark)}))
    with pytest.raises(EncoderError, match="cannot be read as weights"):
        openclip_weights.read_state(path)
    assert not mark.exists()


def test_a_program_in_place_of_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zipfile

    monkeypatch.setenv(openclip_weights.ALLOW_PICKLE, "1")

    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("script/constants.pkl", b"")
    with pytest.raises(EncoderError, match="is a program"):
        openclip_weights.read_state(path)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"embed_dim": 4, "vision_cfg": 3, "text_cfg": {}}', "[" * 9999]
)
def test_a_folder_with_a_wrong_config_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / names.CONFIG_FILE).write_text(content)
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"")
    with pytest.raises(EncoderError, match="is not a config of open_clip's"):
        registry.info(f"openclip/file:{tmp_path}")


@pytest.mark.parametrize(
    ("tower", "change", "message"),
    [
        ("vision_cfg", {"timm_model_name": "hf-hub:a/b"}, "from elsewhere"),
        ("text_cfg", {"hf_model_name": "nobody/such-a-tower"}, "from the hub"),
        ("vision_cfg", {"layers": "many"}, "cannot make a network"),
    ],
)
def test_a_config_fetches_nothing(
    weights: Path, tmp_path: Path, tower: str, change: dict[str, Any], message: str
) -> None:
    config = {**CONFIG, tower: {**CONFIG[tower], **change}}
    (tmp_path / names.CONFIG_FILE).write_text(json.dumps(config))
    (tmp_path / "open_clip_model.safetensors").write_bytes(weights.read_bytes())
    with pytest.raises((EncoderError, MissingExtraError), match=message):
        load(f"openclip/file:{tmp_path}")


# -- downloads -------------------------------------------------------------------------------------


@pytest.fixture
def no_network(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Any, ...]]:
    """An empty cache, and a stand-in for the network that is down and notes who asked for it."""
    import huggingface_hub
    import open_clip

    asked: list[tuple[Any, ...]] = []

    def down(*arguments: Any, **keywords: Any) -> str:
        asked.append(arguments)
        raise OSError("the network is down")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", down)
    monkeypatch.setattr(open_clip, "download_pretrained_from_url", down)
    monkeypatch.setattr(socket, "getaddrinfo", down)
    monkeypatch.setattr(socket.socket, "connect", down)
    return asked


@pytest.mark.parametrize(
    ("model", "tag", "size"),
    [
        ("ViT-B-32", "laion2b_s34b_b79k", "about 605 MB"),
        ("RN50", "openai", "about 408 MB"),
        ("roberta-ViT-B-32", "laion2b_s12b_b32k", "of unknown size"),  # its text tower is a hub's
        ("convnext_base", "laion400m_s13b_b51k", "MB|of unknown size"),  # as timm has it
    ],
)
def test_nothing_is_downloaded_unasked(
    no_network: list[tuple[Any, ...]], model: str, tag: str, size: str
) -> None:
    with pytest.raises(MissingExtraError, match=size) as caught:
        load(f"openclip/{model}/{tag}")
    for part in ("GMI_ALLOW_DOWNLOAD=1", "--download", "By hand: "):
        assert part in str(caught.value)
    assert no_network == []


def test_a_failed_download_says_how_to_do_it_by_hand(
    no_network: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["encoders", "--download", "openclip/ViT-B-32/openai"]) == 2
    said = capsys.readouterr().err
    assert "the network is down" in said
    assert "openclip/ViT-B-32-quickgelu/file:" in said
    assert len(no_network) >= 1


def test_a_download_is_used_from_the_cache_afterwards(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from open_clip import pretrained

    row = {"hf_hub": "test/repository/", "url": ""}
    monkeypatch.setitem(pretrained._PRETRAINED, MODEL, {"tag": row})
    cache: dict[str, str] = {}

    def download(repository: str, file: str) -> str:
        assert (repository, file) == ("test/repository", "open_clip_model.safetensors")
        cache[file] = str(weights)
        return str(weights)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda repository, file: cache.get(file)
    )
    name = f"openclip/{MODEL}/tag"
    with pytest.raises(MissingExtraError, match="not on this machine"):
        openclip.fetch(name)
    assert openclip.fetch(name, allow_download=True) == weights
    encoder = load(name)
    assert encoder.id == f"{name}@32-shortest-bicubic-clip"
    assert load_text(name).encode_texts(["a cat"]).shape == (1, 48)


def test_a_damaged_download_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    url = "http://127.0.0.1/" + "ab" * 32 + "/ViT-B-32.pt"
    download = openclip_weights.Download.of("name", "name/file:", {"url": url})
    assert download.find() is None
    download.url_target.parent.mkdir(parents=True)
    download.url_target.write_bytes(b"half of it")
    with pytest.raises(EncoderError, match=r"damaged, or only a part.*Delete it"):
        download.find()


def test_openai_weights_get_the_activation_they_were_trained_with() -> None:
    found = openclip_network.source(names.parse("openclip/ViT-B-32/openai"))
    assert found.config["quick_gelu"] is True


# -- memory ----------------------------------------------------------------------------------------


class SmallNetworkStandIn:
    """A stand-in for a network on a device with room for ``room`` items at once."""

    def __init__(self, network: Network, room: int, half: bool = False) -> None:
        self.device, self.context, self.half = "stand-in", network.context, half
        self.preprocess = network.preprocess
        self._network, self._room = network, room
        self.sizes: list[int] = []

    def images(self, items: Sequence[Image.Image]) -> Any:
        self.sizes.append(len(items))
        if len(items) > self._room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        rows = self._network.images(items)
        return rows * np.inf if self.half else rows


def stood_in(weights: Path, room: int, half: bool = False) -> tuple[Any, SmallNetworkStandIn]:
    name = names.parse(named(weights))
    shared = openclip.Shared(name, "cpu")
    network = SmallNetworkStandIn(shared.network(), room, half)
    shared._network = network  # type: ignore[assignment]
    return openclip.OpenClip("test", 48, shared), network


def test_a_batch_is_halved_until_it_fits(weights: Path) -> None:
    expected = load(named(weights)).encode_images(images(12))
    encoder, network = stood_in(weights, room=3)
    assert encoder.encode_images(images(12)) == pytest.approx(expected, abs=1e-5)
    assert network.sizes == [12, 6, 3, 3, 3, 3]
    encoder.encode_images(images(4))
    assert network.sizes[6:] == [3, 1], "what fits is remembered"


def test_when_not_one_image_fits_it_is_said(weights: Path) -> None:
    encoder, _ = stood_in(weights, room=0)
    with pytest.raises(EncoderError, match="not enough memory on 'stand-in'"):
        encoder.encode_images(images(3))


def test_half_precision_that_overflows_is_given_up(weights: Path) -> None:
    expected = load(named(weights)).encode_images(images(3))
    encoder, network = stood_in(weights, room=9, half=True)
    assert encoder.encode_images(images(3)) == pytest.approx(expected, abs=1e-5)
    assert network.sizes == [3]


def test_images_and_texts_share_a_network_that_can_be_released(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, texts = load_joint(named(weights)), load_text(named(weights))
    before = encoder.encode_images(images(2))
    release()
    made: list[str] = []
    make = openclip_network.Source.load

    def counted(self: openclip_network.Source, *arguments: Any) -> Network:
        made.append(self.name.plain)
        return make(self, *arguments)

    monkeypatch.setattr(openclip_network.Source, "load", counted)
    assert encoder.encode_images(images(2)) == pytest.approx(before, abs=1e-6)
    texts.encode_texts(["a cat"])
    load_text(named(weights)).encode_texts(["a dog"])
    assert len(made) == 1


def test_threads_share_one_network(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    encoder = load(named(weights))
    expected = encoder.encode_images(images(3))

    def work(number: int) -> bool:
        if number in (2, 5):
            release()
        return bool(np.allclose(encoder.encode_images(images(3)), expected, atol=1e-5))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


@pytest.mark.parametrize("device", ["cuda", "mps", "toaster"])
def test_a_device_that_is_not_there_is_named(weights: Path, device: str) -> None:
    import torch

    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is one")
    with pytest.raises(EncoderError, match=f"'{device}'"):
        load(named(weights), device)


# -- the command line ------------------------------------------------------------------------------


def test_build_and_rank_with_a_file_of_weights(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_image_folder(tmp_path / "images", ["Warm", "Cold", "Grey"])
    assert cli.main(["build", str(folder), "--encoder", named(weights), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["complete"]) == 3
    release()
    image = tmp_path / "query.png"
    picture(1, 77).save(image)
    assert cli.main(["rank", str(image), "--json"]) == 0
    ranking = json.loads(capsys.readouterr().out)
    assert ranking["candidates"][0]["title"] == "Cold"
    assert cli.main(["library", "list"]) == 0
    assert f"openclip/{MODEL}/sha256-" in capsys.readouterr().out


def test_the_list_of_encoders(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["encoders", "--openclip", "b-32/OPENAI"]) == 0
    assert "openclip/ViT-B-32/openai" in capsys.readouterr().out.splitlines()
    assert cli.main(["encoders", "--openclip", "no-such-thing"]) == 2
    assert "no-such-thing" in capsys.readouterr().out
    assert cli.main(["encoders", "--remember", named(weights), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dim"] == 48
    assert cli.main(["encoders", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["families"][0]["prefix"] == "openclip/"
