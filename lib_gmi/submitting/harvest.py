"""Specifications without generating: from images that exist and say how they were made.

Images are grouped by the checkpoint that their metadata name (:mod:`.mentions`), and each keeps
its own prompt: the developer-provided prompts of arXiv 2412.12232, A.5. Only images that show what
the checkpoint makes of a prompt are of use; what else shaped one is a reason to leave it out.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..base.errors import ImageError
from ..base.images import open_image
from ..checkpoints.presets import CODEC
from ..library.entries import stem
from ..records.prompts import Prompt, PromptSet
from ..records.protocols import (
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
from .survey import SPARE, Crop, Find, Rules

if TYPE_CHECKING:
    from PIL import Image

    from ..library.catalogue import Library

#: In the extra settings of harvested samples, so that they stay apart from generated ones.
HARVESTED = "harvested"
OWN_SET = PromptSetRef("own prompts", "1", OWN_PROMPTS, 0)
#: Images whose difference hashes differ in fewer of 64 bits are the same picture once more.
_NEAR = 4
_HASH_SIDE = 8


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
            PromptSet("own prompts", "1", prompts),
            self.library,
            self.encoder,
            self.text_encoder,
            self.keep_copies(),
        )
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
        for done, find in enumerate(usable):
            if stop():
                break
            same = 0 if stored is None else stored.prompt_ids.count(find.prompt_id)
            if stored is not None and (len(stored) >= rules.most or same >= rules.of_prompt):
                left_out[SPARE] += 1  # for all harvests together: this may be the tenth
            else:
                image = open_image(find.path)
                stored = recorder.add(new, by_id[find.prompt_id], image, find.seed)
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


def _readable(
    finds: Sequence[Find], left_out: Counter[str], known: Iterable[int] = ()
) -> list[Find]:
    """Those whose pixels are fine and not there already, nor among ``known`` hashes. Their pixels
    are not kept: sixty images would fill the memory."""
    kept: list[Find] = []
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
        kept.append(find)
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
