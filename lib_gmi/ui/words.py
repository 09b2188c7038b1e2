"""Numbers, times and names as people read them."""

from __future__ import annotations

import datetime
import time

from .markup import Child, Html, tag, together

ARCHITECTURES = {
    "sd1": "SD 1.5",
    "sd2": "SD 2",
    "sdxl": "SDXL",
    "sd3": "SD 3",
    "flux": "Flux",
    "flux2": "Flux 2",
    "chroma": "Chroma",
    "auraflow": "AuraFlow",
    "pixart": "PixArt",
    "lumina2": "Lumina 2",
    "z-image": "Z-Image",
    "hunyuan-dit": "Hunyuan DiT",
    "hunyuan-image": "Hunyuan Image",
    "hidream": "HiDream",
    "omnigen2": "OmniGen 2",
    "qwen-image": "Qwen Image",
    "cosmos-predict2": "Cosmos Predict 2",
    "stable-cascade": "Stable Cascade",
    "workflow": "Workflow",
    # as the authors of the specifications that ship with this program call them
    "bria": "Bria",
    "cogview3": "CogView 3",
    "cogview4": "CogView 4",
    "cosmos": "Cosmos Predict 2",
    "f1": "Flux",
    "flite": "F-Lite",
    "h1": "HiDream",
    "hunyuandit": "Hunyuan DiT",
    "kandinsky": "Kandinsky",
    "KolorsPipeline": "Kolors",
    "lumina": "Lumina Next",
    "MeissonicPipeline": "Meissonic",
    "omnigen": "OmniGen",
    "pixartalpha": "PixArt Alpha",
    "pixartsigma": "PixArt Sigma",
    "qwen": "Qwen Image",
    "sana": "Sana",
    "sc": "Stable Cascade",
    "wanai": "Wan",
}
#: People recognise a name by its end as well: versions, "pruned", "inpainting".
_TAIL = 12
#: A name of so many letters is not cut.
_SHORT = 18
_SUFFIXES = (".safetensors", ".ckpt", ".gguf", ".sft", ".pt", ".pth")


def architecture(key: str | None) -> str:
    """Of a checkpoint, as its makers call it."""
    return ARCHITECTURES.get(key or "", key or "Unknown")


def known(key: str | None) -> bool:
    """Whether people know it by a name."""
    return key in ARCHITECTURES


def percent(share: float) -> str:
    """A share; small ones are not rounded to a confident zero, large ones not to certainty."""
    if 0 < share < 0.01:
        return "<1%"
    if 0.99 < share < 1:
        return ">99%"
    return f"{share:.0%}"


def duration(seconds: float) -> str:
    """A time to wait, roundly: nobody needs the seconds of an hour."""
    if seconds < 50:
        return f"{max(5, round(seconds / 5) * 5)} seconds"
    minutes = round(seconds / 60)
    if minutes < 60:
        return "1 minute" if minutes <= 1 else f"{minutes} minutes"
    hours, rest = divmod(round(minutes / 10), 6)
    if hours < 10 and rest:
        return f"{hours} h {rest * 10} min"
    hours = round(minutes / 60)
    return "1 hour" if hours == 1 else f"{hours} hours"


def size(count: int) -> str:
    """Bytes; empty if unknown."""
    if not count:
        return ""
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def ago(moment: float, now: float | None = None) -> str:
    """How long ago something was, in days."""
    today = datetime.date.fromtimestamp(time.time() if now is None else now)
    days = (today - datetime.date.fromtimestamp(moment)).days
    if days < 2:
        return "today" if days < 1 else "yesterday"
    for unit, length in (("year", 365), ("month", 30), ("week", 7)):
        if days >= 2 * length:
            return f"{days // length} {unit}s ago"
    return f"{days} days ago"


def date(moment: float) -> str:
    """Day and time, the same everywhere."""
    return datetime.datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M")


def counted(number: int, one: str, many: str | None = None) -> Html:
    """A number with its noun; the noun stands alone, so that it can be translated."""
    noun = one if number == 1 else many or one + "s"
    return together(tag("span", None, number), " ", tag("span", None, noun))


def of(done: int, total: int, noun: str) -> Html:
    """So many of so many."""
    pieces = [tag("span", None, piece) for piece in (done, "of", total, noun)]
    return together(pieces[0], " ", pieces[1], " ", pieces[2], " ", pieces[3])


def sentence(text: str, title: str = "") -> str:
    """A text beside a title: with a capital, and without that title at its beginning."""
    text = text.removeprefix(f"{title}: ") if title else text
    return text[:1].upper() + text[1:]


def last_part(name: str) -> str:
    """A checkpoint's name without folders and file type."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    for suffix in _SUFFIXES:
        if last.lower().endswith(suffix):
            return last[: -len(suffix)] or last
    return last


def elided(title: str, name: str | None = None, element: str = "span") -> Html:
    """A title that loses its middle where the place is too narrow for it.

    Args:
        title: in full; it is there in full for those who point at it and for screen readers.
        name: what pointing at it shows, the title by default.
        element: that holds it.
    """
    folder_end = title.replace("\\", "/").rfind("/") + 1
    short = len(title) - folder_end <= _SHORT
    cut = folder_end if short else max(len(title) - _TAIL, folder_end)

    def piece(key: str, *children: Child) -> Html | None:
        return tag("span", {"class": f"gmi-title-{key}"}, children) if any(children) else None

    # the folder goes first, and only then the middle of the name
    last = piece("name", piece("start", title[folder_end:cut]), piece("end", title[cut:]))
    shown = piece("folder", title[:folder_end]), last
    return tag(element, {"class": "gmi-title", "title": name or title}, shown)
