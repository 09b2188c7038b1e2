"""Images and texts in one space: any CLIP model that open_clip knows (Radford et al. 2021).

Names are in :mod:`.openclip_names`, files in :mod:`.openclip_weights`, the making of a network in
:mod:`.openclip_network`. Here: the rows of the registry, and encoders that share one network for
images and texts, make room for others when asked, and make do with the memory there is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..base.errors import EncoderError
from ..base.vectors import unit
from . import openclip_names as names
from .base import BaseTextEncoder, ImageEncoder
from .info import Block, EncoderInfo, TextEncoderInfo

if TYPE_CHECKING:
    from PIL import Image

    from ..records.protocols import FloatArray
    from .openclip_network import Network

Item = TypeVar("Item")

PREFIX = names.PREFIX
SUMMARY = (
    "images and texts: openclip/MODEL/TAG (gmi encoders --openclip lists them), "
    "openclip/MODEL/file:WEIGHTS, or openclip/file:FOLDER"
)


def image_info(name: str) -> EncoderInfo:
    """The registry's row for a name or id; of an id, without importing open_clip.

    Raises:
        EncoderError: unknown model or tag, no such file, or open_clip is not installed.
    """
    parsed = names.parse(name)
    dim = names.dim_of(parsed.model)
    preprocessing = parsed.preprocessing
    if not preprocessing:
        from .openclip_network import source

        preprocessing = str(source(parsed).preprocess)
    id = f"{parsed.plain}@{preprocessing}"
    return EncoderInfo(
        name=parsed.plain,
        preprocessing=preprocessing,
        dim=dim,
        blocks=(Block("clip", 0, dim),),
        gamma=2.0,  # as for the others: features are standardised and brought to unit length
        summary=f"images and texts, {parsed.model} of open_clip",
        load=lambda device: OpenClip(id, dim, _ready(parsed, preprocessing, device)),
    )


def text_info(name: str) -> TextEncoderInfo:
    """The registry's row for texts: the same names; the id says nothing of preprocessing.

    Raises:
        EncoderError: unknown model, no such file, or open_clip is not installed.
    """
    parsed = names.parse(name)
    dim = names.dim_of(parsed.model)
    return TextEncoderInfo(
        id=parsed.plain,
        text_dim=dim,
        summary=f"texts, {parsed.model} of open_clip",
        extra="clip",
        load=lambda device: OpenClipText(parsed.plain, dim, _ready(parsed, "", device)),
    )


def fetch(name: str, allow_download: bool = False) -> Path:
    """The weights' file; downloaded if it is missing and that is allowed.

    Afterwards the encoder loads without network.

    Raises:
        EncoderError: unknown name, or the download failed.
        MissingExtraError: the weights are not on this machine, and must not be downloaded.
    """
    from .openclip_network import source

    found = source(names.parse(name))
    path = found.weights(allow_download or None)
    found.localised(allow_download or None)
    return path


def known(pattern: str = "") -> list[tuple[str, str]]:
    """Models and tags that open_clip knows, those whose name holds ``pattern`` (any case).

    Raises:
        EncoderError: open_clip is not installed.
    """
    from .openclip_network import package

    pairs: list[tuple[str, str]] = package().list_pretrained()
    return [pair for pair in pairs if pattern.lower() in "/".join(pair).lower()]


# -- networks, each loaded once --------------------------------------------------------------------


class Shared:
    """One network on one device, loaded when it is needed, for every encoder that uses it."""

    def __init__(self, name: names.Name, device: str) -> None:
        self._name, self._device = name, device
        self._lock = threading.Lock()
        self._network: Network | None = None
        self._half: bool | None = None
        #: Items that went through at once without running out of memory.
        self.fits: int | None = None

    def network(self) -> Network:
        """The network, loaded now if it is not in memory."""
        with self._lock:
            if self._network is None:
                from .openclip_network import source

                self._network = source(self._name).load(self._device, self._half)
            return self._network

    def in_full_precision(self) -> Network:
        """The network again, with more digits: some overflow in half precision."""
        with self._lock:
            self._network, self._half = None, False
        return self.network()

    def release(self) -> None:
        """Forget the network. What runs meanwhile ends; the next use loads it again."""
        with self._lock:
            self._network = None


_shared: dict[tuple[str, str], Shared] = {}


def _ready(name: names.Name, preprocessing: str, device: str) -> Shared:
    shared = _shared.setdefault((name.plain, device), Shared(name, device))
    actual = str(shared.network().preprocess)
    if preprocessing and preprocessing != actual:
        raise EncoderError(
            f"'{name.plain}@{preprocessing}' was made by another version of this program or of "
            f"open_clip, which here makes '{actual}'. Build those specifications again."
        )
    return shared


def release() -> None:
    """Free the memory of every network that was loaded here."""
    for shared in list(_shared.values()):
        shared.release()
    if _shared:
        _free_memory()


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


# -- encoders --------------------------------------------------------------------------------------


class OpenClipText(BaseTextEncoder):
    """Text embeddings of unit length. What goes beyond the context is cut off."""

    def __init__(self, id: str, text_dim: int, shared: Shared) -> None:
        super().__init__(id, text_dim)
        self._shared = shared

    def encode_text_batch(self, texts: Sequence[str]) -> FloatArray:
        return unit(_in_parts(self._shared, texts, lambda network, part: network.texts(part)))

    def note(self, text: str) -> str | None:
        """Says so where a text's end is cut off: commonly after 77 tokens, some 55 words.

        Raises:
            MissingExtraError: the model's tokenizer is not on this machine.
        """
        if not self._shared.network().overflows(text):
            return None
        return f"The prompt is longer than {self.id} reads: its end was not used."


class OpenClip(OpenClipText, ImageEncoder):
    """Image embeddings before they are brought to unit length, and texts beside them.

    See :class:`.protocols.JointEncoder`.
    """

    def __init__(self, id: str, dim: int, shared: Shared) -> None:
        super().__init__(id, dim, shared)
        self.dim = dim

    def encode_batch(self, images: Sequence[Image.Image]) -> FloatArray:
        return _in_parts(self._shared, images, lambda network, part: network.images(part))


def _in_parts(
    shared: Shared,
    items: Sequence[Item],
    run: Callable[[Network, Sequence[Item]], FloatArray],
) -> FloatArray:
    """Run a batch in as many parts as the memory asks for; how many fit is remembered.

    Raises:
        EncoderError: not even one fits.
    """
    network = shared.network()
    rows: list[FloatArray] = []
    start = 0
    while start < len(items):
        size = min(shared.fits or len(items), len(items) - start)
        try:
            part = run(network, items[start : start + size])
        except RuntimeError as error:  # torch.cuda.OutOfMemoryError is one, and says so
            if "out of memory" not in str(error).lower():
                raise
            if size == 1:
                raise EncoderError(
                    f"There is not enough memory on '{network.device}' for one image with this "
                    "encoder. Let it run on the CPU, or free memory there."
                ) from None
            shared.fits = size // 2
            _free_memory()
            continue
        if network.half and not np.isfinite(part).all():
            network = shared.in_full_precision()
            continue
        rows.append(part)
        start += size
    return np.concatenate(rows)
