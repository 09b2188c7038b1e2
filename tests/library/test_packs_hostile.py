"""Packs from strangers: whatever is wrong with one is said, and nothing else happens."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_specification, picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pack_files import (
    ABOUT,
    Change,
    Tensors,
    forged,
    good_pack,
    parts,
    read,
    shared,
    tensor,
    with_header,
)
from PIL import Image

from lib_gmi.base.errors import PackError
from lib_gmi.library.packs import container as container_module
from lib_gmi.library.packs import pack as pack_module
from lib_gmi.library.packs import read_pack, write_pack
from lib_gmi.library.packs.container import encode
from lib_gmi.library.packs.texts import check_link, page_link, strict_json
from lib_gmi.library.packs.thumbnails import check_thumbnail, small_copy
from lib_gmi.records.specification_file import to_bytes


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of two specifications; nobody writes to it."""
    path = tmp_path_factory.mktemp("good") / "good.gmipack"
    good_pack(path)
    return path


# -- other files ----------------------------------------------------------------------------------


def archive() -> bytes:
    """A zip file, as PyTorch's checkpoints are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("../../evil", "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (archive(), "zip archive"),
        (pickle.dumps({"a": 1}), "pickle file, which could run code"),
        (gzip.compress(b"x" * 99), "gzip archive"),
        (b"<!DOCTYPE html><html>sign in</html>", "web page; download the file itself"),
        (b'\n {"id": 1, "entries": []}', "JSON text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "PNG image"),
        (b"MZ" + bytes(99), "a program"),
        (bytes(257) + b"ustar" + bytes(250), "tar archive"),
        (b"\x00" * 100, "not a pack of specifications, or is damaged"),
        ((1 << 30).to_bytes(8, "little") + b"{" + b" " * 99, "claims a header of 1073741824"),
        ((200).to_bytes(8, "little") + b"{}", "not a pack"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_files_are_called_what_they_are(data: bytes, what: str) -> None:
    with pytest.raises(PackError, match=what):
        read(data)


def test_a_checkpoint_and_a_single_specification_are_no_packs() -> None:
    checkpoint = encode({"format": "pt"}, {"a": tensor("F16", (1, 1), b"ab")})
    with pytest.raises(PackError, match="safetensors file, but not a pack"):
        read(checkpoint)
    with pytest.raises(PackError, match="single specification, not a pack"):
        read(to_bytes(make_specification()))


def test_what_is_too_large_or_no_file_is_not_parsed(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PackError, match=r"there is no such file"):
        read_pack(tmp_path / "missing.gmipack")
    with pytest.raises(PackError, match="is not a file"):
        read_pack(tmp_path)
    with pytest.raises(PackError, match=r"cannot be read|no such file"):
        read_pack(tmp_path / "nul\0byte")
    monkeypatch.setattr(pack_module.read_bytes, "__defaults__", (100,))
    with pytest.raises(PackError, match="larger than"):
        read_pack(good)


def test_a_header_longer_than_any_real_one_is_not_parsed(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_module, "MAX_HEADER", 100)
    with pytest.raises(PackError, match="claims a header of"):
        read(good.read_bytes())


# -- the container --------------------------------------------------------------------------------


def header_rows(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    """Change the header as JSON."""

    def changed(text: str) -> str:
        header = json.loads(text)
        change(header)
        return json.dumps(header)

    return changed


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda t: t.replace('"0/features"', '"1/features"', 1), "same key twice"),
        (lambda t: t.replace('"F16"', '"F64"', 1), "is F64; packs hold F16 and U8"),
        (lambda t: t.replace('"F16"', '"BF16"', 1), "is BF16"),
        (lambda t: t.replace('"F16"', "[]", 1), "packs hold F16 and U8"),
        (lambda t: t.replace("[4,30]", "[4,31]", 1), "not as long as its shape"),
        (lambda t: t.replace("[4,30]", "[-4,-30]", 1), "impossible shape"),
        (lambda t: t.replace("[4,30]", "[4.0,30]", 1), "impossible shape"),
        (lambda t: t.replace("[4,30]", "[true,120]", 1), "impossible shape"),
        (lambda t: t.replace("[4,30]", "[0,30]", 1), "impossible shape"),
        (lambda t: t.replace("[4,30]", "[2,2,30]", 1), "impossible shape"),
        (lambda t: t.replace("[4,30]", "[99999999999999999,30]", 1), "impossible shape"),
        (lambda t: t.replace("[4,30]", "[" + "9" * 5000 + ",30]", 1), "too many digits"),
        (lambda t: t.replace("[4,30]", "[1e999,30]", 1), "not finite"),
        (lambda t: t.replace("[4,30]", "[NaN,30]", 1), "NaN, which is no number"),
        (lambda t: t.replace('"shape"', '"form"', 1), "does not describe"),
        (lambda t: t.replace('"0/features"', '"../../evil"', 1), "impossible name"),
        (lambda t: t.replace('"0/features"', '"0/evil"', 1), "packs do not have"),
        (lambda t: t.replace('"0/features"', '"7/features"', 1), "belongs to none"),
        (lambda t: t.replace('"0/features"', '"00/features"', 1), "belongs to none"),
        (lambda t: t.replace('"gmi.pack"', '"gmi.bag"', 1), "not a pack"),
        (lambda t: t[:-40], "not valid JSON"),
        (lambda t: '{"__metadata__":' * 3000, "not valid JSON"),
        (lambda t: "{" + " " * 20, "not valid JSON"),
        (header_rows(lambda h: h.update(__metadata__=[1])), "not that of a pack"),
        (header_rows(lambda h: h["__metadata__"].update(more="x")), "not a pack"),
        (header_rows(lambda h: h["0/features"].update(data_offsets=[0, 1e3])), "impossible place"),
        (header_rows(lambda h: h["0/features"].update(data_offsets=[-240, 0])), "impossible place"),
        (header_rows(lambda h: h["0/features"].update(data_offsets="all")), "where '0/features'"),
        (header_rows(lambda h: h["1/features"].update(h["0/features"])), "overlaps"),
        (header_rows(lambda h: h.pop("0/features")), "after a gap"),
        (header_rows(lambda h: h.pop("1/prompt_embeddings")), "goes on after its end"),
    ],
)
def test_a_container_that_is_not_laid_out_as_ours(
    good: Path, change: Callable[[str], str], what: str
) -> None:
    with pytest.raises(PackError, match=what):
        read(with_header(good, change))


def test_rest_and_loss_at_the_end_are_noticed(good: Path) -> None:
    data = good.read_bytes()
    with pytest.raises(PackError, match="goes on after its end"):
        read(data + archive())
    with pytest.raises(PackError, match="cut short"):
        read(data[:-1])


def test_numbers_that_were_altered_are_noticed(good: Path) -> None:
    data = bytearray(good.read_bytes())
    data[-3] ^= 1
    with pytest.raises(PackError, match="damaged or altered"):
        read(bytes(data))


def test_tensors_of_one_size_that_changed_places_are_noticed(good: Path) -> None:
    def swap(header: dict[str, Any]) -> None:
        header["0/features"], header["1/features"] = header["1/features"], header["0/features"]

    with pytest.raises(PackError, match="damaged or altered"):
        read(with_header(good, header_rows(swap)))


# -- the manifest ---------------------------------------------------------------------------------


def entry(**changes: Any) -> Change:
    """Change keys of the first entry; a path such as candidate__title goes deeper."""

    def change(manifest: dict[str, Any], _: Tensors) -> None:
        for key, value in changes.items():
            place = manifest["entries"][0]
            *folders, last = key.split("__")
            for folder in folders:
                place = place[folder]
            place[last] = value

    return change


def top(**changes: Any) -> Change:
    """Change keys of the manifest."""
    return lambda manifest, _: manifest.update(changes)


def features(array: Any) -> Change:
    """Other features for the first entry."""
    data = np.asarray(array, "<f2")
    return lambda _, tensors: tensors.update({"0/features": data})


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (top(title="gpj.\u202eexe"), "turn writing round"),
        (top(title="a\x1b[2Jb"), "control characters"),
        (top(title="a\nb"), "one line"),
        (top(title="  "), "title is empty"),
        (top(title=7), "title is not a text"),
        (top(author="x" * 1001), "author is not a text of one line"),
        (top(licence=None), "licence is not a text"),
        (top(link="javascript:alert(1)"), "not a plain http"),
        (top(created=-1), "Unix time"),
        (top(created=True), "Unix time"),
        (top(tool="\u2066x"), "turn writing round"),
        (top(entries=[]), "no specifications"),
        (top(entries={}), "no specifications"),
        (top(entries=[{}] * 10_001), "more than 10000"),
        (top(entries=[1, 2]), "is malformed"),
        (top(entries=[{}, {}]), "incomplete or malformed"),
        (top(specification_schema="9.0"), "newer version"),
        (top(specification_schema="1"), "is malformed"),
        (top(more={"\u202e": 1}), "turn writing round"),
        (top(more=nested(40)), "nested too deeply"),
        (top(more="x" * 10_001), "a text of 10001"),
        (lambda m, _: m.pop("author"), "incomplete"),
        (lambda m, _: m.update(entries=m["entries"][:1]), "belongs to none"),
        (lambda m, _: m.update(entries=m["entries"] * 2), "has no features"),
        (entry(candidate__identity="quick:" + "0" * 32), "In a pack that is sha256"),
        (entry(candidate__identity="sha256:../../etc/passwd"), "In a pack that is sha256"),
        (entry(candidate__identity="sha256:" + "A" * 64), "In a pack that is sha256"),
        (entry(candidate__identity="folder:a\nb"), "In a pack that is sha256"),
        (entry(candidate__title="\u202egnp.exe"), "turn writing round"),
        (entry(candidate__title="\ud800"), "control characters"),
        (entry(candidate__title="a\tb"), "title is not a text of one line"),
        (entry(candidate__name=""), "file name is empty"),
        (entry(candidate__size=-1), "impossible size"),
        (entry(candidate__size="7"), "malformed"),
        (entry(candidate=[]), "malformed"),
        (entry(encoder_id=""), "encoder is empty"),
        (entry(prompt_set__size=-4), "impossible size"),
        (entry(prompt_set__hash=""), "hash is empty"),
        (entry(prompt_ids=["p00"]), "4 rows of features, but 1 prompt ids"),
        (entry(prompt_ids=["p00"] * 4, seeds=[1] * 4), "occur twice"),
        (entry(prompt_ids=["a\nb", "b", "c", "d"]), "prompt id is not a text"),
        (entry(seeds=[1, 2, 3, 10**19 * 9]), "impossible seed"),
        (entry(seeds=[1, 2, 3, True]), "malformed"),
        (entry(text_encoder_id=None), "go together"),
        (entry(settings__width="512"), "malformed"),
        (entry(settings__negative="a\x07b"), "control characters"),
        (entry(settings__extra=7), "malformed"),
        (entry(rejected=[{"prompt_id": "p"}]), "malformed"),
        (entry(updated="soon"), "malformed"),
        (features(np.full((4, 30), np.nan)), "not finite"),
        (features(np.full((4, 30), np.inf)), "not finite"),
        (features(np.ones((4, 31))), "has 31 numbers where test/tiny@v1 makes 30"),
        (features(np.ones((1, 120))), "1 prompt ids|1 rows of features"),
        (features(np.ones(120)), "expected F16"),
        (lambda _, t: t.pop("0/features"), "has no features"),
        (
            lambda _, t: t.update({"0/features": tensor("U8", (4, 30), bytes(120))}),
            r"is U8 \[4, 30\], expected F16",
        ),
        (
            lambda _, t: t.update({"0/prompt_embeddings": tensor("F16", (4, 9), bytes(72))}),
            "has 9 numbers where test/words makes 8",
        ),
        (
            lambda m, _: m["entries"][1].update(candidate=m["entries"][0]["candidate"]),
            "same candidate as one before",
        ),
    ],
)
def test_a_manifest_that_this_program_would_not_write(
    good: Path, change: Change, what: str
) -> None:
    with pytest.raises(PackError, match=what):
        read(forged(good, change))


def test_keys_that_occur_twice_are_refused_in_the_manifest(good: Path) -> None:
    def twice(text: str) -> str:
        return text.replace('\\"author\\"', '\\"title\\": \\"other\\", \\"author\\"', 1)

    with pytest.raises(PackError, match="manifest holds the same key twice"):
        read(with_header(good, twice))


def test_more_values_than_any_real_pack_are_not_parsed() -> None:
    with pytest.raises(PackError, match="more values"):
        strict_json("[" * 4_000_001, "file", "manifest")


def test_an_encoder_that_is_not_known_may_have_any_width(good: Path) -> None:
    def change(manifest: dict[str, Any], tensors: Tensors) -> None:
        entry(encoder_id="style/next@v9")(manifest, tensors)
        features(np.ones((4, 77)))(manifest, tensors)

    assert read(forged(good, change)).specifications[0].features.shape == (4, 77)


def test_names_with_html_are_kept_as_the_plain_text_that_they_are(good: Path) -> None:
    title = '<img src=x onerror="alert(1)">'
    pack = read(
        forged(good, lambda m, t: (top(title=title)(m, t), entry(candidate__title=title)(m, t)))
    )
    assert pack.about.title == title
    assert pack.specifications[0].candidate.title == title


def test_an_address_in_a_pack_is_not_believed_and_a_workflow_not_taken(good: Path) -> None:
    change = entry(
        page="https://evil.example/", provenance={"workflow": {"1": {"class_type": "x"}}}
    )
    specification = read(forged(good, change)).specifications[0]
    assert specification.provenance == {}
    assert "page" not in specification.extra


# -- versions -------------------------------------------------------------------------------------


def test_a_newer_major_version_is_refused_with_what_to_do(good: Path) -> None:
    with pytest.raises(PackError, match=r"packs 2\.0, this one reads 1\.x\). Update"):
        read(forged(good, lambda m, t: None, schema="2.0"))


@pytest.mark.parametrize("schema", ["", "1", "1.x", "1.0.0", "0.9", "-1.0", "١.٠"])
def test_versions_that_are_none(good: Path, schema: str) -> None:
    data = with_header(good, header_rows(lambda h: h["__metadata__"].update({"gmi.pack": schema})))
    with pytest.raises(PackError, match="version"):
        read(data)


def test_what_a_newer_minor_version_wrote_is_kept(good: Path) -> None:
    def change(manifest: dict[str, Any], tensors: Tensors) -> None:
        manifest["subtitle"] = "new"
        manifest["entries"][0]["rating"] = 5
        tensors["0/depths"] = tensor("U8", (4, 2), bytes(8))

    pack = read(forged(good, change, schema="1.7"))
    assert pack.manifest["subtitle"] == "new"
    assert pack.manifest["entries"][0]["rating"] == 5
    assert pack.specifications[0].extra == {}, "unknown keys are kept, and not believed"
    assert pack.specifications[0].extra_tensors["depths"].shape == (4, 2)


# -- links and thumbnails -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    ["", "https://example.org", "http://example.org:8080/a/b?c=d&e=%20#f", "https://a.b/~c"],
)
def test_links_that_are_plain(link: str) -> None:
    assert check_link(link, "pack") == link


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//example.org",
        "example.org",
        "https://",
        "https:///x",
        "https://user:pw@example.org/",
        "https://civitai.com@evil.example/",
        'https://example.org/"onmouseover="alert(1)',
        "https://example.org/'x",
        "https://example.org/<b>",
        "https://example.org/a b",
        "https://example.org/\\evil",
        "https://еxample.org/",
        "https://example.org/" + "x" * 500,
    ],
)
def test_links_that_are_not(link: str) -> None:
    with pytest.raises(PackError, match="not a plain http"):
        check_link(link, "pack")


def test_the_page_of_a_checkpoint_is_made_from_its_hash_alone() -> None:
    assert page_link("sha256:" + "0123456789" + "a" * 54) == (
        "https://civitai.com/search/models?query=0123456789"
    )
    assert page_link("folder:model") is None
    assert page_link("quick:" + "0" * 32) is None
    assert page_link("sha256:" + "x" * 64) is None


def webp(size: tuple[int, int] = (8, 8), **options: Any) -> bytes:
    """A WebP file."""
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "WEBP", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "plain WebP"),
        (b"RIFF", "plain WebP"),
        (webp() + b"PK\x03\x04", "plain WebP"),
        (webp()[:-1], "plain WebP"),
        (webp(lossless=True), "plain WebP"),
        (webp(exif=b"Exif\0\0secret"), "plain WebP"),
        (webp((513, 8)), "513×8 pixels"),
        (webp((8, 600)), "8×600 pixels"),
        (webp() + bytes(200_000), "200000 are allowed"),
    ],
    ids=range(9),
)
def test_thumbnails_that_are_no_small_plain_webp(data: bytes, what: str, good: Path) -> None:
    with pytest.raises(PackError, match=what):
        check_thumbnail(data, "thumbnail")
    if data:
        row = tensor("U8", (len(data),), data)
        with pytest.raises(PackError, match=what):
            read(forged(good, lambda _, t: t.update({"0/thumbnails/1": row})))


@pytest.mark.parametrize(
    ("key", "array", "what"),
    [
        ("0/thumbnails/4", tensor("U8", (1,), b"x"), "a sample that it does not have"),
        ("0/thumbnails/0", tensor("F16", (1,), b"xx"), "not a row of bytes"),
        ("0/thumbnails/0", tensor("U8", (1, 1), b"x"), "not a row of bytes"),
        ("0/thumbnails/x", tensor("U8", (1,), b"x"), "belongs to none"),
    ],
)
def test_thumbnails_of_nothing(good: Path, key: str, array: np.ndarray, what: str) -> None:
    with pytest.raises(PackError, match=what):
        read(forged(good, lambda _, t: t.update({key: array})))


def test_a_thumbnail_is_drawn_anew_without_metadata() -> None:
    buffer = io.BytesIO()
    picture(1, 2, 700).save(buffer, "WEBP", quality=95, exif=b"Exif\0\0a secret prompt")
    assert b"secret" in buffer.getvalue()
    small = small_copy(buffer.getvalue())
    assert b"secret" not in small
    assert Image.open(io.BytesIO(small)).size == (256, 256)
    check_thumbnail(small, "thumbnail")


# -- fuzz -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small pack with everything that a pack can have."""
    path = tmp_path_factory.mktemp("rich") / "rich.gmipack"
    specifications = [shared(1, prompts=2), shared(2, prompts=1, text_dim=None)]
    pictures = {specifications[0].key: {("p00", 1000): webp()}}
    write_pack(path, specifications, ABOUT, pictures)
    return path.read_bytes()


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_bytes_that_were_changed_are_an_error_or_the_same_pack(
    rich: bytes, data: st.DataObject
) -> None:
    changed = bytearray(rich)
    header = 8 + int.from_bytes(rich[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        # most of the file is a header, and there is most to go wrong
        place = data.draw(st.integers(0, header - 1) | st.integers(0, len(changed) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert", "copy"]))
        if kind == "set":
            changed[place : place + 1] = bytes([data.draw(st.integers(0, 255))])
        elif kind == "cut":
            del changed[place : place + data.draw(st.integers(1, 9))]
        elif kind == "insert":
            changed[place:place] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            start = data.draw(st.integers(0, len(changed) - 1))
            changed[place:place] = changed[start : start + 20]
    try:
        pack = read(bytes(changed))
    except PackError:
        return
    assert pack.id == read(rich).id


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_values_that_were_changed_under_a_fitting_id_are_an_error_or_a_sound_pack(
    rich: bytes, data: st.DataObject, tmp_path: Path
) -> None:
    path = tmp_path / "rich.gmipack"
    path.write_bytes(rich)
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )

    def change(manifest: dict[str, Any], _: Tensors) -> None:
        place: Any = manifest
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            deeper = isinstance(place[key], dict | list) and place[key]
            if not deeper or data.draw(st.integers(0, 4)) == 0:
                place[key] = data.draw(anything)
                return
            place = place[key]

    try:
        pack = read(forged(path, change))
    except PackError:
        return
    for specification in pack.specifications:
        assert np.isfinite(specification.features).all()
        to_bytes(specification)


def test_the_pack_of_these_tests_is_good(good: Path, rich: bytes) -> None:
    assert len(read(forged(good, lambda m, t: None)).specifications) == 2
    assert read(rich).thumbnails[read(rich).specifications[0].key]
    assert parts(good)[0] == "1.0"
