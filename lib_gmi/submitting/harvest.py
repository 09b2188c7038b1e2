"""Specifications without generating: from images that exist and say how they were made.

Images are grouped by the checkpoint that their metadata name (:mod:`.mentions`), and each keeps
its own prompt: the developer-provided prompts of arXiv 2412.12232, A.5. Only images that show what
the checkpoint makes of a prompt are of use; what else shaped one is a reason to leave it out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import ImageError
from ..base.files import open_regular, walk
from ..base.images import IMAGE_SUFFIXES, LOSSLESS_SUFFIXES, open_image, unreadable_here
from ..checkpoints.presets import CODEC
from ..library.entries import stem
from ..metadata import Making, plain_prompt, read_making
from ..metadata.mentions import Installed
from ..records.prompts import Prompt, PromptSet
from ..records.protocols import (
    Candidate,
    Encoder,
    GenerationSettings,
    Progress,
    SilentProgress,
    TextEncoder,
)
from ..records.quality import broken_reason
from ..records.specification import OWN_PROMPTS, PromptSetRef, Specification
from ..records.specification_file import storable
from .recorder import Recorder

if TYPE_CHECKING:
    from PIL import Image

    from ..library.catalogue import Library

#: In the extra settings of harvested samples, so that they stay apart from generated ones.
HARVESTED = "harvested"
OWN_SET = PromptSetRef("own prompts", "1", OWN_PROMPTS, 0)
#: Why an image is not taken that nothing is wrong with.
SPARE = "the same prompt, or more than are needed"
#: Images of one walk; more would keep people waiting for nothing.
MOST_FILES = 200_000
#: Characters of a prompt that are kept and embedded.
_MOST_TEXT = 1000
#: A network without a weight is loaded with this one.
_FULL_WEIGHT = 1.0
#: Images whose difference hashes differ in fewer of 64 bits are the same picture once more.
_NEAR = 4
_HASH_SIDE = 8
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
        """Of its prompt; equal prompts have equal ids."""
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
        """Those that a specification can be built of."""
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
        reason = unfit(path, making, rules)
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


def unfit(path: Path, making: Making, rules: Rules) -> str | None:
    """Why an image cannot speak for its checkpoint, or ``None``."""
    return _shaped(making, rules) or _not_as_made(path, making, rules)


def _shaped(making: Making, rules: Rules) -> str | None:
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


class Harvester:
    """Builds specifications out of what :func:`survey` found.

    Args:
        library: where they go.
        encoder: image → features.
        text_encoder: embeds the prompts, if there is one.
        keep_copies: whether small copies of the images are kept as samples.
    """

    def __init__(
        self,
        library: Library,
        encoder: Encoder,
        text_encoder: TextEncoder | None = None,
        keep_copies: Callable[[], bool] = lambda: True,
    ) -> None:
        self.library = library
        self.encoder = encoder
        self.text_encoder = text_encoder
        self.keep_copies = keep_copies

    def gather(
        self,
        crop: Crop,
        rules: Rules | None = None,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> tuple[Specification | None, Counter[str]]:
        """Encode one checkpoint's images and store them, each at once; goes on where it stopped.

        Args:
            crop: with enough images.
            rules: that it was found by.
            progress: told after each image.
            stop: asked before each image.

        Returns:
            The specification as it is stored now, or ``None`` if too few images were of use; and
            why some were not.

        Raises:
            LibraryError: it cannot be stored; everything stored before is safe.
        """
        progress, rules = progress or SilentProgress(), rules or Rules()
        texts = {find.prompt_id: find.prompt for find in crop.finds}
        prompts = tuple(Prompt(prompt_id, {"natural": text}) for prompt_id, text in texts.items())
        recorder = Recorder(
            PromptSet("own prompts", "1", prompts), self.library, self.encoder, self.text_encoder
        )
        recorder.keep_copies = self.keep_copies()
        settings = GenerationSettings(codec=CODEC, extra={HARVESTED: True})
        new = replace(
            recorder.empty(crop.candidate, settings, _provenance(crop.finds, rules)),
            prompt_set=OWN_SET,
            texts=texts,
        )
        stored = self.library.get(new.key)
        left_out: Counter[str] = Counter()
        have = set() if stored is None else set(zip(stored.prompt_ids, stored.seeds, strict=True))
        fresh = [find for find in crop.finds if (find.prompt_id, find.seed) not in have]
        usable = _readable(fresh, left_out, self._hashes(new.key, have))
        if len(usable) < rules.least and stored is None:
            return None, left_out
        by_id = {prompt.id: prompt for prompt in prompts}
        for done, (find, image) in enumerate(usable):
            if stop():
                break
            if stored is not None and not _has_room(stored, find, rules):
                left_out[SPARE] += 1  # for all harvests together: this may be the tenth
            else:
                stored = recorder.add(new, by_id[find.prompt_id], image(), find.seed)
            progress.update(done + 1, len(usable), find.prompt)
        return stored, left_out

    def _hashes(self, key: str, have: Iterable[tuple[str, int]]) -> list[int]:
        """Difference hashes of samples from earlier harvests, of those that have copies."""
        found = []
        for prompt_id, seed in have:
            path = self.library.samples.find(stem(key), prompt_id, seed)
            with contextlib.suppress(ImageError):
                if path is not None:
                    found.append(difference_hash(open_image(path)))
        return found


def _has_room(stored: Specification, find: Find, rules: Rules) -> bool:
    same = stored.prompt_ids.count(find.prompt_id)
    return len(stored) < rules.most and same < rules.of_prompt


def _readable(
    finds: Sequence[Find], left_out: Counter[str], known: Iterable[int] = ()
) -> list[tuple[Find, Callable[[], Image.Image]]]:
    """Those whose pixels are fine and not there already, nor among ``known`` hashes. They are
    decoded again when needed: sixty of them would fill the memory."""
    kept: list[tuple[Find, Callable[[], Image.Image]]] = []
    hashes = list(known)
    seen: set[tuple[str, int]] = set()
    for find in finds:
        try:
            image = open_image(find.path)
        except ImageError:
            left_out["cannot be read"] += 1
            continue
        if broken_reason(image) is not None:
            left_out["shows nothing"] += 1
            continue
        digest = difference_hash(image)
        twice = (find.prompt_id, find.seed) in seen
        if twice or any((digest ^ other).bit_count() < _NEAR for other in hashes):
            left_out["nearly the same picture"] += 1
            continue
        hashes.append(digest)
        seen.add((find.prompt_id, find.seed))
        kept.append((find, lambda path=find.path: open_image(path)))  # type: ignore[misc]
    return kept


def difference_hash(image: Image.Image) -> int:
    """64 bits that stay as they are when an image is scaled or compressed.

    Whether each of 8 × 8 parts is brighter than the one to its right (Krawetz 2013, "dHash").
    """
    from PIL import Image

    size = (_HASH_SIDE + 1, _HASH_SIDE)
    small = image.convert("L").resize(size, Image.Resampling.BILINEAR).tobytes()
    bits = 0
    for row in range(_HASH_SIDE):
        for column in range(_HASH_SIDE):
            at = row * (_HASH_SIDE + 1) + column
            bits = bits << 1 | (small[at] > small[at + 1])
    return bits


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


def _provenance(finds: Sequence[Find], rules: Rules) -> Mapping[str, Any]:
    networks = Counter(n.name for find in finds for n in find.making.networks)
    programs = Counter(find.making.program for find in finds)
    told = {
        "programs": dict(programs),
        "networks": dict(networks.most_common(50)),
        "allowed": sorted(rules.allowed),
        "lossy": rules.lossy,
    }
    return {HARVESTED: told} if storable(told) else {HARVESTED: {}}


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
