"""Caches are bounded by bytes, whatever is put into them."""

from __future__ import annotations

import ast
import base64
import io
from pathlib import Path

import pytest
from conftest import SOURCE_ROOT
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib_gmi.base.recent import Recent
from lib_gmi.ui import uploads as uploads_module
from lib_gmi.ui.uploads import UnknownImageError, Uploads


@given(st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=12)), max_size=40))
def test_no_more_than_the_limit_is_held(puts: list[tuple[int, bytes]]) -> None:
    recent: Recent[int, bytes] = Recent(20, len)
    last: dict[int, bytes] = {}
    for key, value in puts:
        recent.put(key, value)
        last[key] = value
        assert recent.get(key) == value
        known = {each: found for each in range(6) if (found := recent.get(each)) is not None}
        assert recent.held == sum(map(len, known.values())) <= 20
        assert all(last[each] == found for each, found in known.items())


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    recent: Recent[str, bytes] = Recent(20, len)
    recent.put("a", bytes(10))
    recent.put("b", bytes(10))
    assert recent.get("a")
    recent.put("c", bytes(10))
    assert recent.get("a")
    assert recent.get("b") is None


def test_what_is_too_large_is_not_remembered_and_costs_nobody_else() -> None:
    recent: Recent[str, bytes] = Recent(20, len)
    recent.put("a", bytes(10))
    recent.put("b", bytes(5))
    recent.put("b", bytes(21))
    assert recent.get("b") is None
    assert recent.get("a")
    assert recent.held == 10


def _sent(side: int, number: int) -> dict[str, str]:
    content = io.BytesIO()
    Image.effect_noise((side, side), 90).save(content, "PNG")
    data = base64.b64encode(content.getvalue()).decode()
    return {"key": f"{number:016d}", "data": f"data:image/png;base64,{data}"}


def test_uploads_are_forgotten_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module, "KEPT_FILES", 100_000)
    uploads = Uploads()
    for number in range(4):
        uploads.read([_sent(200, number)])
    assert uploads.read([{"key": f"{3:016d}"}])
    with pytest.raises(UnknownImageError):
        uploads.read([{"key": f"{0:016d}"}])


def test_pixels_are_counted_as_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels: Recent[bytes, Image.Image] = Recent(400_000, uploads_module._bytes_of)
    monkeypatch.setattr(uploads_module, "_pixels", pixels)
    for number in range(6):
        (upload,) = Uploads().read([_sent(200, number)])
        assert upload.image.size == (200, 200)
    assert 0 < pixels.held <= 400_000
    assert pixels.held % (200 * 200 * 3) == 0


#: Caches by count, each of values of a few bytes or of a single one.
_COUNTED = {"lib_gmi/base/recent.py", "lib_gmi/interrogators/clip_interrogator.py"}


def test_no_cache_goes_by_the_number_of_its_values() -> None:
    """A new one is a ``Recent``, or says above why its values are small or few."""
    found = set()
    for path in sorted((Path(SOURCE_ROOT) / "lib_gmi").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "id", getattr(node, "attr", None))
            if name in ("OrderedDict", "lru_cache") and isinstance(node, ast.Name | ast.Attribute):
                found.add(path.relative_to(SOURCE_ROOT).as_posix())
    assert found == _COUNTED
