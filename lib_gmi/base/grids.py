"""Pictures beside each other, for the check that a human eye wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image, ImageFont

_MARGIN = 12
_CAPTION = 30
_BACKGROUND = (24, 24, 27)
_INK = (228, 228, 231)
_FRAME = (99, 102, 241)


def side_by_side(
    pictures: Sequence[tuple[str, Image.Image]], side: int = 384, columns: int = 4
) -> Image.Image:
    """Pictures in rows, each with its caption below; the first one, the query, is framed.

    Args:
        pictures: captions and images, at least one.
        side: pixels of the square that each image is fitted into.
        columns: pictures in a row.
    """
    from PIL import Image, ImageDraw, ImageOps

    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    cell = (side + _MARGIN, side + _CAPTION + _MARGIN)
    sheet = Image.new("RGB", (columns * cell[0] + _MARGIN, rows * cell[1] + _MARGIN), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = _font()
    for index, (caption, image) in enumerate(pictures):
        left = _MARGIN + index % columns * cell[0]
        top = _MARGIN + index // columns * cell[1]
        fitted = ImageOps.contain(image.convert("RGB"), (side, side))
        corner = (left + (side - fitted.width) // 2, top + (side - fitted.height) // 2)
        sheet.paste(fitted, corner)
        if index == 0:
            end = (corner[0] + fitted.width + 1, corner[1] + fitted.height + 1)
            draw.rectangle((corner[0] - 2, corner[1] - 2, *end), outline=_FRAME, width=2)
        draw.text((left, top + side + 6), _shortened(caption, draw, font, side), _INK, font)
    return sheet


def of_one_size(pictures: Sequence[Image.Image], longest: int = 1024) -> list[Image.Image]:
    """Pictures as a batch can hold them: of the size of the first, the others fitted into it.

    Nothing is cut off; what is left beside a picture of another shape is black.

    Args:
        pictures: at least one.
        longest: pixels of the longer side, at most.
    """
    from PIL import Image, ImageOps

    first = pictures[0]
    factor = min(1, longest / max(first.size))
    size = max(1, round(first.width * factor)), max(1, round(first.height * factor))
    fitted = []
    for picture in pictures:
        rgb = picture.convert("RGB")
        if rgb.size != size:
            rgb = ImageOps.pad(rgb, size, Image.Resampling.LANCZOS, "black")
        fitted.append(rgb)
    return fitted


def _shortened(
    caption: str, draw: object, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int
) -> str:
    """A caption that fits below its picture; the end of a name tells more than its middle."""
    from PIL import ImageFont

    caption = " ".join(caption.split())
    if not isinstance(font, ImageFont.FreeTypeFont):  # the old bitmap font knows few letters
        return caption.encode("latin-1", "replace").decode("latin-1")[: width // 6]
    measure = draw.textlength  # type: ignore[attr-defined]
    if measure(caption, font=font) <= width:
        return caption
    keep = len(caption)
    while keep > 2:
        keep -= 1
        short = caption[: keep // 2] + "…" + caption[-(keep - keep // 2) :]
        if measure(short, font=font) <= width:
            return short
    return caption[:1]


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size=16)
    except TypeError:  # before Pillow 10.1 there is one size
        return ImageFont.load_default()
