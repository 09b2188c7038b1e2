"""What is known about the making of an image, whichever program wrote it down, and however."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .values import digest, first, real, whole, word

#: The largest seed; ComfyUI's have 64 bits.
_MAX_SEED = 2**64 - 1
_MAX_SIDE = 65_536
#: Entries of :attr:`Making.networks`.
_MAX_NETWORKS = 100


@dataclass(frozen=True)
class CheckpointMention:
    """A checkpoint as metadata name it; nothing says that it is installed, or that it exists.

    Attributes:
        name: as it was written: a title, or a file's name with or without folder and suffix.
        hashes: lower-case hexadecimal as written: 64 characters of a SHA-256, the first 10 of them
            (AutoV2), or 8 of AUTOMATIC1111's old hash. No two are equal.
        version_id: Civitai's ``modelVersionId``.
    """

    name: str | None = None
    hashes: tuple[str, ...] = ()
    version_id: int | None = None

    @property
    def label(self) -> str:
        """For people; never empty."""
        return self.name or next(iter(self.hashes), f"civitai:{self.version_id}")


@dataclass(frozen=True)
class Network:
    """Something small that was loaded beside the checkpoint.

    Attributes:
        kind: ``lora``, ``lycoris``, ``hypernetwork`` or ``embedding``.
        name: as it was written; ``civitai:`` and a version's number where only that is known.
        weight: for the diffusion model, if it differs from the text encoder's.
        hash: lower-case hexadecimal.
    """

    kind: str
    name: str
    weight: float | None = None
    hash: str | None = None


@dataclass(frozen=True)
class MakingSettings:
    """The settings an image was made with. ``None`` where unknown or impossible.

    Attributes:
        width: of the first pass, in pixels; a second pass makes the image larger.
        clip_skip: as AUTOMATIC1111 counts: 1 skips nothing.
        sampler: in the words of the program, like ``scheduler``.
        denoise: of img2img or of the second pass.
    """

    seed: int | None = None
    steps: int | None = None
    cfg: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    width: int | None = None
    height: int | None = None
    clip_skip: int | None = None
    vae: str | None = None
    denoise: float | None = None


_SETTINGS = (*(setting.name for setting in fields(MakingSettings)), "size")


@dataclass(frozen=True)
class Making:
    """The making of one image.

    Attributes:
        program: ``a1111``, ``forge``, ``sdnext``, ``comfyui``, ``invokeai``, ``novelai``,
            ``fooocus``, ``civitai``, ``swarmui``, ``sd.cpp``, ``easydiffusion``, ``drawthings``,
            ``tensorart`` or ``huggingface``; ``service`` and ``camera`` where a file only says
            that it comes from one.
        prompt: without networks, with the weights of its words; see :func:`.text.plain_prompt`.
        processes: what shaped the image beyond text-to-image with this checkpoint: ``img2img``,
            ``inpaint``, ``hires``, ``upscale``, ``adetailer``, ``faces``, ``controlnet``,
            ``refiner``, ``regional``, ``merge``, ``grid``, ``edit`` (the words were about another
            picture), ``service`` (drawn by one, of which nobody has the checkpoint), ``several``
            (the graph has outputs of different making, and any of them may be this file),
            ``extension``. Networks are not named here again.
        refiner: a second checkpoint that went over the image of the first.
        made_by: the service or the camera, as far as the file names it.
    """

    program: str
    prompt: str | None = None
    negative: str | None = None
    checkpoint: CheckpointMention | None = None
    networks: tuple[Network, ...] = ()
    settings: MakingSettings = field(default_factory=MakingSettings)
    processes: frozenset[str] = frozenset()
    refiner: CheckpointMention | None = None
    made_by: str | None = None


def mention(name: Any = None, *hashes: Any, version_id: Any = None) -> CheckpointMention | None:
    """What of this names a checkpoint, or ``None`` if nothing does."""
    named = word(name)
    if named is not None and named.lower() in ("none", "unknown", "undefined"):
        named = None
    found = tuple(dict.fromkeys(filter(None, map(digest, hashes))))
    version = whole(version_id, 1, 2**53)
    return CheckpointMention(named, found, version) if named or found or version else None


def network(kind: str, name: Any, weight: Any = None, sha: Any = None) -> Network | None:
    """A network, or ``None`` if it has no name."""
    named = word(name)
    if named is None or named.lower() == "none":
        return None
    return Network(kind, named, real(weight, -100, 100), digest(sha))


def distinct(networks: Iterable[Network | None]) -> tuple[Network, ...]:
    """Each network once; what one mention leaves open another may tell."""
    found: dict[tuple[str, str], Network] = {}
    for one in networks:
        if one is None:
            continue
        key = (one.kind, one.name.lower())
        known = found.get(key)
        if known is None:
            if len(found) < _MAX_NETWORKS:
                found[key] = one
        else:
            weight, sha = first(known.weight, one.weight), first(known.hash, one.hash)
            found[key] = replace(known, weight=weight, hash=sha)
    return tuple(found.values())


def settings_in(facts: Mapping[str, Any], **names: str | tuple[str, ...]) -> MakingSettings:
    """The settings that an object of a program holds.

    Args:
        facts: the object.
        names: what it calls those that it calls otherwise than :func:`making_settings` does; of
            several names the first that is there.
    """
    called = {ours: names.get(ours, ours) for ours in _SETTINGS}
    told = {ours: (n,) if isinstance(n, str) else n for ours, n in called.items()}
    return making_settings(**{ours: first(*map(facts.get, n)) for ours, n in told.items()})


def making_settings(**raw: Any) -> MakingSettings:
    """The settings, each only if it is possible. ``size`` is a text such as ``512x768``."""
    width, height = raw.get("width"), raw.get("height")
    size = raw.get("size")
    if isinstance(size, str) and len(size) < 40:
        width, _, height = size.lower().replace("×", "x").partition("x")
    return MakingSettings(
        seed=whole(raw.get("seed"), 0, _MAX_SEED),
        steps=whole(raw.get("steps"), 1, 10_000),
        cfg=real(raw.get("cfg"), 0, 1000),
        sampler=word(raw.get("sampler")),
        scheduler=word(raw.get("scheduler")),
        width=whole(width, 8, _MAX_SIDE),
        height=whole(height, 8, _MAX_SIDE),
        clip_skip=whole(raw.get("clip_skip"), 1, 24),
        vae=word(raw.get("vae")),
        denoise=real(raw.get("denoise"), 0, 1),
    )
