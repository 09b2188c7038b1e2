"""From an image file to RGB pixels, the same way every time.

Everything that enters an encoder passes through here: EXIF orientation is applied, transparency is
laid over white, palettes, 16-bit, grey, CMYK and animated files become plain 8-bit RGB. Whatever
cannot be read ends in an :class:`~.errors.ImageError` that names the file.

A file of kilobytes can hold a picture of hundreds of megabytes. What is above :data:`KEPT_PIXELS`
is brought below that while it is decoded, and what would take more than :data:`MAX_DECODING` to be
decoded is refused before.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import re
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ImageError
from .files import NotRegularError, TooLargeError, read_regular
from .pixels import flat, orientation, shrunk, white_level

if TYPE_CHECKING:
    from PIL import Image

    Kept = tuple[Image.Image, Any]

#: Above this many pixels an image is refused before it is decoded (a 50-megapixel photo passes).
MAX_PIXELS = 120_000_000
MAX_BYTES = 512 << 20
#: Larger pictures are shrunk by a whole number, each of their pixels counting alike, before
#: anything else sees them. All encoders look at far fewer.
KEPT_PIXELS = 4096 * 4096
#: Bytes that decoding one picture may take. Eight that are kept, and one more that is decoded, stay
#: below a gigabyte.
MAX_DECODING = 512 << 20
#: What Pillow decodes by itself, and how such files are called; others (EPS, PDF) would start
#: external programs.
FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TGA": (".tga",),
    "ICO": (".ico",),
    "AVIF": (".avif", ".avifs"),
    "MPO": (".mpo",),
}
#: Only looked at, never trusted: the first bytes decide what a file is.
IMAGE_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
#: Those that never lose anything; a WebP or a TIFF may have.
LOSSLESS_SUFFIXES = frozenset(
    suffix for name in ("PNG", "BMP", "PPM", "TGA", "ICO") for suffix in FORMATS[name]
)

#: Bytes that Pillow and the formats' own libraries take for a pixel while they decode, measured.
_DECODING = {"WEBP": 16, "AVIF": 12}
_PROGRESSIVE = 6
_MODES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
#: Above so many bytes, pictures are decoded one after the other, whoever asks.
_ALONE = 128 << 20
_decoding = threading.Lock()
_WEBP_LIMIT = 16_383
#: A border's pixels differ by at most this much (of 255) from the corner's colour.
_BORDER_TOLERANCE = 10
#: No side of an image is trimmed by more than this share.
_MOST_TRIMMED = 0.45


def open_image(path: Path | str) -> Image.Image:
    """Read an image file as 8-bit RGB, fully decoded.

    Args:
        path: an image file in any format that Pillow reads.

    Returns:
        An RGB image, upright. Of animated files, the first frame.

    Raises:
        ImageError: the file is missing, unreadable, truncated, no image, or larger than
            :data:`MAX_PIXELS`. The message names it.
    """
    path = Path(path)
    try:
        data = read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file.") from None
    except (NotRegularError, TooLargeError) as error:
        if path.is_dir():
            raise ImageError(f"{path}: is a folder, not an image.") from None
        raise ImageError(f"{path}: {error.strerror}, so it is no image to read.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: cannot be read ({reason}).") from None
    return decode_image(data, name=str(path))


def decode_image(data: bytes, name: str = "image") -> Image.Image:
    """Decode image bytes as 8-bit RGB of at most :data:`KEPT_PIXELS`, see :func:`open_image`.

    Args:
        data: a file's content.
        name: what errors call it.
    """
    from PIL import Image

    with _clear_errors(name):
        Image.init()
        known = [name for name in FORMATS if name in Image.OPEN]  # Pillow differs by version
        image = Image.open(io.BytesIO(data), formats=known)
        _refuse_bomb(image, name)
        if image.format == "ICO":
            _refuse_icon(data, name)
        factor = _factor(image.size)
        whole = image.size[0] * image.size[1]
        if factor > 1:  # JPEGs can be decoded smaller; others know nothing of it
            image.draft(None, (image.size[0] // factor, image.size[1] // factor))
        cost = _cost(image, whole)
        if cost > MAX_DECODING:
            raise ImageError(
                f"{name}: {whole / 1e6:.0f} megapixels as {image.format} would take "
                f"{cost >> 20} MB to decode, more than the limit of {MAX_DECODING >> 20} MB. "
                "Shrink it and try again."
            )
        with _decoding if cost > _ALONE else contextlib.nullcontext():
            image.load()
            _refuse_bomb(image, name)
            factor = _factor(image.size)
            return to_rgb(image, name) if factor == 1 else shrunk(image, factor)


def unreadable_here(path: Path) -> str | None:
    """What a file is by its name, if the Pillow that is installed here cannot read such files."""
    suffix = path.suffix.lower()
    format = next((name for name, known in FORMATS.items() if suffix in known), None)
    if format is None or format in _readable():
        return None
    return f"{format}, which the Pillow here cannot read"


@cache
def _readable() -> frozenset[str]:
    """Formats that Pillow was built with."""
    from PIL import Image, features

    Image.init()
    known = {name for name in FORMATS if name in Image.OPEN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old Pillow does not know what AVIF is
        optional = {name for name in ("WEBP", "AVIF") if not features.check(name.lower())}
    return frozenset(known - optional)


def groups(images: Iterable[Kept], pixels: int = KEPT_PIXELS) -> Iterator[list[Kept]]:
    """Images in their order, in groups of few enough pixels to be held at once.

    Args:
        images: pairs of an image and anything; decoded only when their turn comes.
        pixels: of a group; a larger image makes a group by itself.
    """
    group: list[Kept] = []
    held = 0
    for image, about in images:
        own = image.size[0] * image.size[1]
        if group and held + own > pixels:
            yield group
            group, held = [], 0
        group.append((image, about))
        held += own
    if group:
        yield group


def to_rgb(image: Image.Image, name: str = "image") -> Image.Image:
    """Bring any Pillow image to 8-bit RGB over a white background, upright.

    Args:
        image: any mode; of animated images, the current frame.
        name: what errors call it.

    Raises:
        ImageError: the image has no pixels or cannot be decoded.
    """
    from PIL import Image, ImageOps

    _refuse_bomb(image, name)
    with _clear_errors(name):
        image.load()
        if orientation(image) is not None:
            image = ImageOps.exif_transpose(image)  # its copy says that it is upright
        elif type(image) is not Image.Image:  # belongs to a file that its owner may close
            image = image.copy()
        return flat(image, white_level(image))


def trim_borders(image: Image.Image) -> Image.Image:
    """Cut plain bars of one colour off the sides; an image without them is returned as it is.

    What a viewer or a phone lays around a picture is in every screenshot of it, and costs two
    thirds of the right answers (``docs/results.md``). A bar is made of rows, or columns, that have
    nothing but the upper left corner's colour. Where more than 45 % would go at a side, the
    picture itself is plain there, and nothing goes.

    Args:
        image: RGB.
    """
    import numpy as np

    pixels = np.asarray(image)
    corner = pixels[0, 0].astype(np.int16)

    def bar(lines: Iterable[Any], most: int) -> int:
        """How many of the first lines are plain, or one more than may be."""
        for count, line in enumerate(lines):
            if count > most or np.abs(line.astype(np.int16) - corner).max() > _BORDER_TOLERANCE:
                return count
        return most + 1

    columns = pixels.transpose(1, 0, 2)
    tall, wide = int(_MOST_TRIMMED * image.height), int(_MOST_TRIMMED * image.width)
    top, bottom = bar(pixels, tall), bar(pixels[::-1], tall)
    left, right = bar(columns, wide), bar(columns[::-1], wide)
    if not any((top, bottom, left, right)) or max(top, bottom) > tall or max(left, right) > wide:
        return image
    return image.crop((left, top, image.width - right, image.height - bottom))


def list_images(folder: Path) -> list[Path]:
    """The image files directly inside a folder, by name; hidden files are passed over.

    Raises:
        ImageError: the folder cannot be read.
    """
    try:
        return sorted(
            p
            for p in folder.iterdir()
            if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file()
        )
    except OSError as error:
        raise ImageError(f"{folder}: cannot be listed ({error.strerror or error}).") from None


def through_codec(image: Image.Image, codec: str) -> Image.Image:
    """Send pixels the way that a library's samples went before they were encoded.

    Features tell a JPEG from a PNG of the same picture. So a query is brought to the size and
    codec of the stored samples first; otherwise the ranking would answer "who else was a WebP".

    Args:
        image: RGB.
        codec: ``"source"`` (as it is), or ``"webp<quality>-<side>"``: the shorter side reduced to
            at most ``side`` pixels, then WebP of that quality.

    Raises:
        ImageError: the codec's name is unknown.
    """
    return image if codec == "source" else decode_image(stored_copy(image, codec))


def stored_copy(image: Image.Image, codec: str) -> bytes:
    """The file that a library keeps of a sample: what :func:`through_codec` decodes again.

    Raises:
        ImageError: the codec's name is unknown, or it is ``"source"``, which keeps no copy.
    """
    quality, side = _parse_codec(codec)
    from PIL import Image

    scale = min(side / min(image.size), _WEBP_LIMIT / max(image.size))
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # the default method: faster ones blur what tells near relatives apart
    image.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()


def small_webp(image: Image.Image, side: int, quality: int) -> bytes:
    """A WebP of an RGB image, its longer side at most ``side`` pixels, without metadata."""
    from PIL import Image

    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    # from bare pixels, so that nothing but them can come along
    bare = Image.frombytes("RGB", image.size, image.tobytes())
    buffer = io.BytesIO()
    bare.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()


def check_codec(codec: str) -> None:
    """Raise an :class:`~.errors.ImageError` if :func:`through_codec` does not know the codec."""
    if codec != "source":
        _parse_codec(codec)


def _parse_codec(codec: str) -> tuple[int, int]:
    # a text from a stranger's file: no other digits than ASCII's, and no more than make sense
    known = re.fullmatch(r"webp([1-9][0-9]?|100)-([1-9][0-9]{0,4})", codec, re.ASCII)
    if known is None:
        raise ImageError(
            f"Unknown codec '{codec[:48]}': known are 'source' and 'webp<quality>-<side>', "
            "for instance 'webp90-512'."
        )
    return int(known[1]), int(known[2])


def _factor(size: Sequence[int]) -> int:
    """By which whole number an image has to be shrunk."""
    return max(1, math.ceil(math.sqrt(size[0] * size[1] / KEPT_PIXELS)))


def _cost(image: Image.Image, whole: int) -> int:
    """Bytes that decoding takes at the least.

    Args:
        image: opened, not yet decoded; its size is that to be decoded.
        whole: pixels of the file.
    """
    each = _DECODING.get(image.format or "", _MODES.get(image.mode, 4))
    cost = image.size[0] * image.size[1] * each
    if image.info.get("progressive"):  # all of it is kept until its last scan
        cost += whole * _PROGRESSIVE
    return cost


def _refuse_icon(data: bytes, name: str) -> None:
    """An icon's list says sizes up to 256; the pictures in it may have any."""
    for found in re.finditer(rb"IHDR(.{4})(.{4})", data, re.DOTALL):
        width, height = (int.from_bytes(side, "big") for side in found.groups())
        if width * height > KEPT_PIXELS:
            raise ImageError(f"{name}: is far too large for an icon.")


def _refuse_bomb(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width}×{height} pixels is more than the limit of "
            f"{MAX_PIXELS / 1e6:.0f} megapixels. Shrink it and try again."
        )
    if width < 1 or height < 1:
        raise ImageError(f"{name}: has no pixels.")


@contextmanager
def _clear_errors(name: str) -> Iterator[None]:
    """Pillow answers bad files with a dozen exception types; users get one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # The limit on pixels is ours (see _refuse_bomb); what else Pillow warns of is in files
            # that it reads all the same.
            warnings.simplefilter("ignore")
            yield
    except UnidentifiedImageError:
        raise ImageError(f"{name}: is not an image that can be read.") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: is far too large to be decoded safely.") from None
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"{name}: needs more memory than there is to be decoded.") from None
    except Exception as error:  # a damaged file can raise almost anything in a decoder
        raise ImageError(f"{name}: is damaged or truncated ({error}).") from None


def pixel_hash(image: Image.Image) -> str:
    """Of the pixels and nothing else: the same image in another file is the same."""
    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()
