"""From an image file to RGB pixels, the same way every time.

Everything that enters an encoder passes through here: EXIF orientation is applied, transparency is
laid over white, palettes, 16-bit, grey, CMYK and animated files become plain 8-bit RGB. Whatever
cannot be read ends in an :class:`~.errors.ImageError` that names the file.
"""

from __future__ import annotations

import contextlib
import io
import re
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

#: Above this many pixels an image is refused before it is decoded (a 50-megapixel photo passes).
MAX_PIXELS = 120_000_000
MAX_BYTES = 512 << 20
#: What Pillow decodes by itself; others (EPS, PDF) would start external programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "TGA", "ICO", "AVIF", "MPO")
#: Only looked at, never trusted: the first bytes decide what a file is.
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

_WEBP_LIMIT = 16_383
#: A border's pixels differ by at most this much (of 255) from the corner's colour.
_BORDER_TOLERANCE = 10
#: No side of an image is trimmed by more than this share.
_MOST_TRIMMED = 0.45
_BACKGROUND = (255, 255, 255)


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
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{path}: is a folder, not an image.")
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise ImageError(
                f"{path}: is not a file of at most {MAX_BYTES >> 20} MB, so it is no image to read."
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: cannot be read ({reason}).") from None
    return decode_image(data, name=str(path))


def decode_image(data: bytes, name: str = "image") -> Image.Image:
    """Decode image bytes as 8-bit RGB, see :func:`open_image`; ``name`` is for errors."""
    from PIL import Image

    with _clear_errors(name):
        Image.init()
        known = [name for name in _FORMATS if name in Image.OPEN]  # Pillow differs by version
        image = Image.open(io.BytesIO(data), formats=known)
        _refuse_bomb(image, name)
        image.load()
    return to_rgb(image, name)


def to_rgb(image: Image.Image, name: str = "image") -> Image.Image:
    """Bring any Pillow image to 8-bit RGB over a white background, upright.

    Args:
        image: any mode; of animated images, the current frame.
        name: what errors call it.

    Raises:
        ImageError: the image has no pixels or cannot be decoded.
    """
    from PIL import ImageOps

    _refuse_bomb(image, name)
    with _clear_errors(name):
        # A damaged EXIF block is no reason to refuse pixels that are fine.
        with contextlib.suppress(Exception):
            image = ImageOps.exif_transpose(image) or image
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            image = _high_depth_to_grey(image)
        if image.mode in ("La", "RGBa"):  # premultiplied; Pillow converts those only this way
            image = image.convert("LA" if image.mode == "La" else "RGBA")
        if image.mode in ("LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
        if image.mode == "RGBA":
            image = _over_background(image)
        return image if image.mode == "RGB" else image.convert("RGB")


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


def _over_background(image: Image.Image) -> Image.Image:
    from PIL import Image

    background = Image.new("RGB", image.size, _BACKGROUND)
    background.paste(image, mask=image.getchannel("A"))
    return background


def _high_depth_to_grey(image: Image.Image) -> Image.Image:
    """16- and 32-bit grey to 8 bits. Pillow's own conversion clips at 255 instead of scaling."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    top = values.max(initial=0.0)
    # The file says 16 bits but not which of them are used; floats are usually 0..1 or 0..255.
    white = (
        next((w for w in (1.0, 255.0, 65535.0) if top <= w), top)
        if image.mode == "F"
        else (65535.0 if top <= 65535 else top)
    )
    return Image.fromarray((values.clip(0, white) * (255.0 / white)).round().astype(np.uint8))


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
