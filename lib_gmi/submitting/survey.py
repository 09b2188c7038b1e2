"""Which images in a host's folders may speak for their checkpoints, by what they say themselves."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..base.files import open_regular, walk
from ..base.images import IMAGE_SUFFIXES, LOSSLESS_SUFFIXES, unreadable_here
from ..metadata import Making, plain_prompt, read_making
from ..metadata.mentions import Installed
from ..records.protocols import Candidate, Progress, SilentProgress

#: Why an image is not taken that nothing is wrong with.
SPARE = "the same prompt, or more than are needed"
#: Images of one walk; more would keep people waiting for nothing.
MOST_FILES = 200_000
#: Characters of a prompt that are kept and embedded.
_MOST_TEXT = 1000
#: A network without a weight is loaded with this one.
_FULL_WEIGHT = 1.0
#: How AUTOMATIC1111 calls files that hold several images.
_GRIDS = ("grid-", "xyz_grid-")


@dataclass(frozen=True)
class Rules:
    """Which images may speak for their checkpoint.

    Attributes:
        least: images that a checkpoint needs.
        most: images that are taken of one checkpoint, by all harvests together; the newest first.
        of_prompt: images that are taken of one prompt, likewise.
        networks: the sum of the weights of LoRAs and the like that an image may have.
        allowed: processes that do not matter, see :class:`.metadata.Making`.
        lossy: take JPEGs and lossy WebPs as well. Their features differ from those of images that
            were never compressed before (``docs/results-more.md`` says what that costs).
        smallest: shorter side in pixels.
    """

    least: int = 8
    most: int = 60
    of_prompt: int = 2
    networks: float = 0.5
    allowed: frozenset[str] = frozenset()
    lossy: bool = False
    smallest: int = 256


@dataclass(frozen=True)
class Find:
    """An image that may speak for its checkpoint.

    Attributes:
        path: of the file.
        making: what it says.
        prompt: as it is embedded.
        seed: from the metadata, or made of the file's name.
    """

    path: Path
    making: Making
    prompt: str
    seed: int

    @property
    def prompt_id(self) -> str:
        """Id of the image's prompt; equal prompts have equal ids."""
        return "own-" + hashlib.sha256(self.prompt.encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True)
class Crop:
    """What there is of one checkpoint.

    Attributes:
        candidate: the checkpoint.
        finds: the newest first.
        missing: how many more images it needs.
    """

    candidate: Candidate
    finds: tuple[Find, ...]
    missing: int


@dataclass
class Survey:
    """What the folders hold.

    Attributes:
        crops: of installed checkpoints; those with most images first.
        files: image files that were looked at.
        silent: files that do not say which checkpoint made them.
        left_out: images of installed checkpoints that are not used, by reason.
        foreign: images of checkpoints that are not installed, by the name that they give.
        ambiguous: images that give a name which several installed checkpoints have.
        cut_short: there were more files than :data:`MOST_FILES`, or somebody cancelled.
    """

    crops: list[Crop] = field(default_factory=list)
    files: int = 0
    silent: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    foreign: Counter[str] = field(default_factory=Counter)
    ambiguous: Counter[str] = field(default_factory=Counter)
    cut_short: bool = False

    @property
    def enough(self) -> list[Crop]:
        """The crops that are large enough for a specification."""
        return [crop for crop in self.crops if crop.missing == 0]


def survey(
    folders: Iterable[Path],
    installed: Installed,
    rules: Rules | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Survey:
    """Read what the images of some folders say, without decoding their pixels.

    Args:
        folders: searched with everything below them, linked folders too.
        installed: the host's checkpoints.
        rules: which images are of use.
        progress: told about every hundred files.
        stop: asked then whether to end early.
    """
    rules, progress = rules or Rules(), progress or SilentProgress()
    found = Survey()
    by_identity: dict[str, tuple[Candidate, list[Find]]] = {}
    for path in _newest_first(folders):
        if found.files >= MOST_FILES or (found.files % 100 == 0 and stop()):
            found.cut_short = True
            break
        if found.files % 100 == 0:
            progress.update(found.files, 0, "reading what the images say")
        found.files += 1
        word = unreadable_here(path)
        if word is not None:
            found.left_out[word] += 1
            continue
        making = read_making(path)
        if making is None or making.checkpoint is None:
            found.silent += 1
            continue
        meant = installed.meant(making.checkpoint)
        if len(meant) != 1:
            told = found.ambiguous if meant else found.foreign
            told[making.checkpoint.label] += 1
            continue
        candidate = meant[0]
        reason = _shaped(making, rules) or _not_as_made(path, making, rules)
        if reason is not None:
            found.left_out[reason] += 1
            continue
        text = plain_prompt(making.prompt or "")[:_MOST_TEXT]
        seed = making.settings.seed
        find = Find(path, making, text, _seed_of(path) if seed is None else seed % 2**63)
        by_identity.setdefault(candidate.identity, (candidate, []))[1].append(find)
    for candidate, finds in by_identity.values():
        chosen, spare = _chosen(finds, rules)
        if spare:
            found.left_out[SPARE] += spare
        missing = max(rules.least - len(chosen), 0)
        found.crops.append(Crop(candidate, tuple(chosen), missing))
    found.crops.sort(key=lambda crop: (-len(crop.finds), crop.candidate.title.casefold()))
    return found


def _shaped(making: Making, rules: Rules) -> str | None:
    """Why an image shows more than what its checkpoint makes of a prompt, or ``None``."""
    shaped = sorted(making.processes - rules.allowed)
    if making.refiner is not None and "refiner" not in rules.allowed:
        shaped.append("refiner")
    if shaped:
        return f"shaped by {shaped[-1]}"
    weights = (n.weight for n in making.networks if n.kind != "embedding")
    if sum(_FULL_WEIGHT if w is None else abs(w) for w in weights) > rules.networks:
        return "LoRAs change it too much"
    return None if plain_prompt(making.prompt or "").strip() else "no prompt"


def _not_as_made(path: Path, making: Making, rules: Rules) -> str | None:
    """Why a file is not what came out of the checkpoint, or ``None``."""
    size = _size(path)
    if size is None:
        return "cannot be read"
    if path.name.lower().startswith(_GRIDS):
        return "a grid"
    if min(size) < rules.smallest:
        return "too small"
    told = (making.settings.width, making.settings.height)
    if None not in told and size != told and not making.processes:
        return "of another size than it was made in"  # cropped, scaled, or several in one
    return "compressed with losses" if not rules.lossy and _lossy(path) else None


def _chosen(finds: Sequence[Find], rules: Rules) -> tuple[list[Find], int]:
    """First one image of each prompt, then a second, up to the most; and how many are left."""
    by_prompt: dict[str, list[Find]] = {}
    for find in finds:
        by_prompt.setdefault(find.prompt_id, []).append(find)
    chosen = [
        group[turn]
        for turn in range(rules.of_prompt)
        for group in by_prompt.values()
        if turn < len(group)
    ][: rules.most]
    return chosen, len(finds) - len(chosen)


def _newest_first(folders: Iterable[Path]) -> Iterator[Path]:
    """Image files, each once; those of one folder by age, so that a cut keeps what is new."""
    seen: set[str] = set()
    for top in folders:
        for folder, below, names in walk(top):
            real = os.path.realpath(folder)
            if real in seen:  # named twice, or below another that is named
                below.clear()
                continue
            seen.add(real)
            below[:] = sorted((b for b in below if not b.startswith(".")), reverse=True)
            yield from _by_age(folder, names)


def _by_age(folder: Path, names: Sequence[str]) -> list[Path]:
    aged = []
    for name in names:
        path = folder / name
        if path.suffix.lower() not in IMAGE_SUFFIXES or name.startswith("."):
            continue
        try:
            aged.append((-path.stat().st_mtime, name))
        except OSError:  # a broken link, or gone
            continue
    return [folder / name for _, name in sorted(aged)]


def _size(path: Path) -> tuple[int, int] | None:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except Exception:  # a stranger's file can raise almost anything
        return None


def _lossy(path: Path) -> bool:
    """Whether a file's pixels were compressed with losses; also where that cannot be told."""
    if path.suffix.lower() not in LOSSLESS_SUFFIXES | {".tif", ".tiff", ".webp"}:
        return True
    try:
        with open_regular(path) as file:
            head = file.read(4096)
    except OSError:
        return True
    if head.startswith(b"RIFF"):
        return b"VP8L" not in head
    return head.startswith(b"\xff\xd8")  # a JPEG, whatever it is called


def _seed_of(path: Path) -> int:
    return int.from_bytes(hashlib.sha256(str(path).encode("utf-8", "replace")).digest()[:4], "big")
