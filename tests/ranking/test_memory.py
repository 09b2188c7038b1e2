"""What pictures take: each in a process of its own, whose peak is compared with its idle memory.

The pictures are plain, so that their files are small: as somebody would send them who means harm.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import pytest
from conftest import SOURCE_ROOT
from PIL import Image

resource = pytest.importorskip("resource")

_CHILD = """
import base64, resource, sys
from pathlib import Path
import numpy as np
import PIL.Image
from lib_gmi.base.images import decode_image, open_image, through_codec, to_rgb, trim_borders

class Encoder:
    id, dim = "fake", 4
    def encode_images(self, images):
        return np.ones((len(images), 4), np.float32)

def peak():
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used >> (20 if sys.platform == "darwin" else 10)

def request(folder):
    from lib_gmi.ranking.query import QueryEncoder
    files = [path.read_bytes() for path in sorted(folder.glob("*.png"))]
    images = [decode_image(file) for file in files]
    QueryEncoder(Encoder(), "webp90-512").requirement(images)
    return len(images)

def index(folder):
    from lib_gmi.search.index import FolderIndex
    return FolderIndex(folder / "home", folder, "fake", 4).update(Encoder()).new

def one(folder):
    return sum(open_image(path).width > 0 for path in folder.glob("*.png"))

PIL.Image.init()
work, before = globals()[sys.argv[1]], peak()
print(work(Path(sys.argv[2])), peak() - before)
"""


def taken(work: str, folder: Path) -> tuple[int, int]:
    """Pictures that were read, and megabytes more than before."""
    command = [sys.executable, "-c", _CHILD, work, str(folder)]
    said = subprocess.check_output(command, cwd=SOURCE_ROOT, text=True, timeout=300)
    read, more = said.split()
    return int(read), int(more)


@cache
def plain_png(mode: str, side: int) -> bytes:
    content = io.BytesIO()
    Image.new(mode, (side, side)).save(content, "PNG", compress_level=zlib.Z_BEST_SPEED)
    return content.getvalue()


@pytest.mark.parametrize("mode", ["I;16", "RGB", "RGBA"])
def test_one_picture_takes_little_more_than_its_pixels(tmp_path: Path, mode: str) -> None:
    side = 7000
    (tmp_path / "a.png").write_bytes(plain_png(mode, side))
    read, more = taken("one", tmp_path)
    assert read == 1
    assert more < (side * side * 4 >> 20) + 200


def test_a_request_of_eight_large_pictures(tmp_path: Path) -> None:
    """Six that are kept as they are, which takes more than one of 120 megapixels once it is read;
    and two of those, for what reading takes beside them."""
    for number, side in enumerate([4096] * 6 + [10_954] * 2):
        (tmp_path / f"{number}.png").write_bytes(plain_png("RGBA", side))
    read, more = taken("request", tmp_path)
    assert read == 8
    assert more < 1000


@pytest.mark.skipif("GMI_LONG" not in os.environ, reason="takes two minutes: GMI_LONG=1")
def test_a_request_of_eight_pictures_of_120_megapixels(tmp_path: Path) -> None:
    content = plain_png("RGBA", 10_954)
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(content)
    read, more = taken("request", tmp_path)
    assert read == 8
    assert more < 1000


def test_an_index_of_32_pictures(tmp_path: Path) -> None:
    content = plain_png("RGB", 4000)
    for number in range(32):
        (tmp_path / f"{number}.png").write_bytes(content)
    read, more = taken("index", tmp_path)
    assert read == 32
    assert more < 400
