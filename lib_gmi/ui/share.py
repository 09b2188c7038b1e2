"""The share card: one picture of a query and its first three answers, made to be passed on.

It is drawn anew from pixels and carries no metadata. Names lose their folders, and nothing says
where the files are.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

    Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont

WIDTH, HEIGHT = 1200, 675
PRODUCT = "Find Best Model"
QUESTION = "Which checkpoint makes images like this?"
_SHA256 = "sha256:"
_HASH = 10
_MARGIN = 44
_LEFT = 452
_ROWS = 3
_BACKGROUND = ((17, 19, 28), (30, 27, 46))
_PANEL, _LINE = (38, 40, 56), (58, 61, 82)
_INK, _MUTED, _FAINT = (244, 244, 247), (170, 173, 189), (124, 127, 145)
_ACCENT, _ACCENT_END = (251, 146, 60), (244, 63, 94)
_CAUTION = (251, 191, 36)
#: Masks are drawn so much larger, so that round corners are smooth.
_SMOOTH = 4
#: Fonts with more letters than Pillow's own, where the system has one of them.
_WIDE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "msyh.ttc",
    "meiryo.ttc",
    "PingFang.ttc",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
    "arial.ttf",
)
_UNKNOWN = "?"


@dataclass(frozen=True)
class ShareRow:
    """One checkpoint on the card.

    Attributes:
        title: without folders.
        probability: ``None`` if none is claimed.
        samples: up to two of its images, any size.
        hash: see :func:`short_hash`; may be empty.
        architecture: for people; may be empty.
    """

    title: str
    probability: float | None
    samples: Sequence[Image.Image] = field(default_factory=tuple)
    hash: str = ""
    architecture: str = ""


def short_hash(identity: str) -> str:
    """The start of a file's SHA-256, as people quote it; empty if that is not known."""
    return identity[len(_SHA256) :][:_HASH] if identity.startswith(_SHA256) else ""


def share_card(query: Sequence[Image.Image], rows: Sequence[ShareRow], verdict: str = "") -> bytes:
    """Draw the card.

    Args:
        query: the images that were asked about, at least one; the first four are shown.
        rows: best first; the first three are shown.
        verdict: a few words above them, for instance that nothing fits well; may be empty.

    Returns:
        A PNG file of :data:`WIDTH` × :data:`HEIGHT` pixels, without metadata.
    """
    from PIL import ImageDraw

    card = _background()
    draw = ImageDraw.Draw(card)
    top = _MARGIN + 62
    _heading(draw)
    _query(card, query, (_MARGIN, top, _MARGIN + _LEFT, HEIGHT - _MARGIN))
    left, right = _MARGIN + _LEFT + 32, WIDTH - _MARGIN
    if verdict:
        draw.text((left, top), _fitted(draw, verdict, 20, right - left), _CAUTION, _font(20))
        top += 38
    shown = list(rows[:_ROWS])
    gap = 16
    height = (HEIGHT - _MARGIN - top - gap * (_ROWS - 1)) // _ROWS
    for number, row in enumerate(shown, 1):
        place = top + (number - 1) * (height + gap)
        _row(card, row, number, (left, place, right, place + height))
    buffer = io.BytesIO()
    card.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _background() -> Image.Image:
    from PIL import Image

    gradient = Image.linear_gradient("L").rotate(90).resize((WIDTH, HEIGHT))
    start = Image.new("RGB", (WIDTH, HEIGHT), _BACKGROUND[0])
    return Image.composite(Image.new("RGB", (WIDTH, HEIGHT), _BACKGROUND[1]), start, gradient)


def _heading(draw: ImageDraw.ImageDraw) -> None:
    draw.text((_MARGIN, _MARGIN - 8), QUESTION, _INK, _font(30))
    font = _font(20)
    width = draw.textlength(PRODUCT, font=font)
    draw.text((WIDTH - _MARGIN - width, _MARGIN), PRODUCT, _ACCENT, font)


def _query(
    card: Image.Image, images: Sequence[Image.Image], box: tuple[int, int, int, int]
) -> None:
    """One image fills the box, two share it, three and four become a grid."""
    left, top, right, bottom = box
    shown = list(images[:4])
    columns = 1 if len(shown) < 3 else 2
    lines = -(-len(shown) // columns) if shown else 1
    gap = 10
    width = (right - left - gap * (columns - 1)) // columns
    height = (bottom - top - gap * (lines - 1)) // lines
    for number, image in enumerate(shown):
        across, down = number % columns, number // columns
        last_alone = number == len(shown) - 1 and across == 0 and columns == 2
        corner = (left + across * (width + gap), top + down * (height + gap))
        _paste(card, image, corner, (right - left if last_alone else width, height), 18)


def _row(card: Image.Image, row: ShareRow, number: int, box: tuple[int, int, int, int]) -> None:
    from PIL import ImageDraw

    left, top, right, bottom = box
    _rounded(card, box, 16, _PANEL)
    draw = ImageDraw.Draw(card)
    pad = 16
    side = bottom - top - 2 * pad
    place = right - pad
    for image in list(row.samples[:2])[::-1]:
        _paste(card, image, (place - side, top + pad), (side, side), 10)
        place -= side + 10
    inner, end = left + pad + 6, place - 14
    share = "" if row.probability is None else _percent(row.probability)
    big = _font(34 if number == 1 else 28)
    share_width = int(draw.textlength(share, font=big)) if share else 0
    draw.text((inner, top + pad + 4), str(number), _FAINT, _font(22))
    title_left = inner + 30
    size = 24
    title = _fitted(draw, row.title, size, end - title_left)
    draw.text((title_left, top + pad + 2), title, _INK, _font(size, title))
    facts = "  ·  ".join(text for text in (row.architecture, row.hash) if text)
    draw.text(
        (title_left, top + pad + 36), _fitted(draw, facts, 17, end - title_left), _MUTED, _font(17)
    )
    if row.probability is not None:
        line = bottom - pad - 22
        bar_right = end - share_width - 16
        draw.text((end - share_width, bottom - pad - big_height(big) - 8), share, _INK, big)
        _bar(card, (title_left, line, bar_right, line + 12), row.probability)


def big_height(font: Font) -> int:
    """Pixels from the top of a line to the foot of its digits."""
    return int(font.getbbox("0")[3])


def _bar(card: Image.Image, box: tuple[int, int, int, int], share: float) -> None:
    from PIL import Image

    left, top, right, bottom = box
    if right - left < 24:
        return
    _rounded(card, box, 6, _LINE)
    width = max(round((right - left) * min(share, 1.0)), bottom - top)
    start = Image.new("RGB", (right - left, bottom - top), _ACCENT)
    over = Image.new("RGB", (right - left, bottom - top), _ACCENT_END)
    gradient = Image.linear_gradient("L").rotate(90).resize(start.size)
    colours = Image.composite(over, start, gradient).crop((0, 0, width, bottom - top))
    card.paste(colours, (left, top), _mask((width, bottom - top), 6))


def _percent(share: float) -> str:
    if 0 < share < 0.01:
        return "<1%"
    return ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def _rounded(
    card: Image.Image, box: tuple[int, int, int, int], radius: int, colour: tuple[int, int, int]
) -> None:
    size = (box[2] - box[0], box[3] - box[1])
    card.paste(colour, (box[0], box[1]), _mask(size, radius))


def _mask(size: tuple[int, int], radius: int) -> Image.Image:
    from PIL import Image, ImageDraw

    large = Image.new("L", (size[0] * _SMOOTH, size[1] * _SMOOTH), 0)
    corner = (large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle((0, 0, *corner), radius * _SMOOTH, 255)
    return large.resize(size, Image.Resampling.LANCZOS)


def _paste(
    card: Image.Image,
    image: Image.Image,
    corner: tuple[int, int],
    size: tuple[int, int],
    radius: int,
) -> None:
    """Fill a place with an image; the upper middle stays, where faces are."""
    from PIL import Image, ImageOps

    filled = ImageOps.fit(
        image.convert("RGB"), size, Image.Resampling.LANCZOS, centering=(0.5, 0.35)
    )
    card.paste(filled, corner, _mask(size, radius))


# -- letters --------------------------------------------------------------------------------------


def _font(size: int, text: str = "") -> Font:
    """Pillow's own font, or one of the system's that has all letters of the text."""
    own = _own_font(size)
    if not text or not _lacking(own, text):
        return own
    for name in _WIDE_FONTS:
        wide = _wide_font(name, size)
        if wide is not None and not _lacking(wide, text):
            return wide
    return own


@cache
def _own_font(size: int) -> Font:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size=size)
    except TypeError:  # before Pillow 10.1 there is one size, and it is tiny
        for name in ("DejaVuSans.ttf", "arial.ttf"):
            found = _wide_font(name, size)
            if found is not None:
                return found
        return ImageFont.load_default()


@cache
def _wide_font(name: str, size: int) -> Font | None:
    from PIL import ImageFont

    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _lacking(font: Font, text: str) -> frozenset[str]:
    """Letters that a font has no shape for: they look like one that no font has."""
    from PIL import ImageFont

    letters = {letter for letter in text if not letter.isspace()}
    if not isinstance(font, ImageFont.FreeTypeFont):
        return frozenset(letter for letter in letters if ord(letter) > 255)
    nothing = bytes(font.getmask("\U0010fffd"))
    return frozenset(
        letter for letter in letters if ord(letter) > 126 and bytes(font.getmask(letter)) == nothing
    )


def _fitted(draw: ImageDraw.ImageDraw, text: str, size: int, width: int) -> str:
    """A text as long as there is room; the end of a name tells more than its middle."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    text = " ".join(text.split())
    font = _font(size, text)
    lacking = _lacking(font, text)
    text = "".join(_UNKNOWN if letter in lacking else letter for letter in text)
    if draw.textlength(text, font=font) <= width:
        return text
    ellipsis = "..." if _lacking(font, "…") else "…"
    for keep in range(min(len(text) - 1, 200), 1, -1):
        short = text[: keep - keep // 2] + ellipsis + text[-(keep // 2) :]
        if draw.textlength(short, font=font) <= width:
            return short
    return ""
