"""Weights of open_clip's models: found, downloaded on request, and read without trusting them.

open_clip would download whatever is missing, and older versions unpickle it. Here the file is found
first, without network; what it holds is read as safetensors, or, where the user allows pickles, by
torch's restricted reader; and a network of the right architecture takes it or refuses it.
"""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..base.errors import EncoderError, MissingExtraError
from .checksums import check_sha256

if TYPE_CHECKING:
    import torch

ALLOW_DOWNLOAD = "GMI_ALLOW_DOWNLOAD"
ALLOW_PICKLE = "GMI_ALLOW_PICKLE"

#: What open_clip looks for in a hub repository that is named without a file.
_HUB_FILE = "open_clip_pytorch_model.bin"
_SAFE = ".safetensors"


def allowed(variable: str, said: bool | None = None) -> bool:
    """Whether the caller, or else the environment variable, allows something."""
    yes = ("1", "true", "yes", "on")
    return os.environ.get(variable, "").strip().lower() in yes if said is None else said


@dataclass(frozen=True)
class Download:
    """Where open_clip gets the weights of a tag.

    Attributes:
        name: the encoder's, for messages.
        by_hand: how the file can be named instead, up to its path.
        repository: on the hub, or "".
        files: in that repository, the better ones first.
        url: or "".
    """

    name: str
    by_hand: str
    repository: str
    files: tuple[str, ...]
    url: str

    @classmethod
    def of(cls, name: str, by_hand: str, wanted: Mapping[str, Any]) -> Download:
        """Out of open_clip's row for a tag."""
        repository, _, file = str(wanted.get("hf_hub") or "").rpartition("/")
        file = file or _HUB_FILE
        safe = "open_clip_model" if file == _HUB_FILE else str(PurePosixPath(file).with_suffix(""))
        files = tuple(dict.fromkeys((safe + _SAFE, file))) if repository else ()
        return cls(name, by_hand, repository, files, str(wanted.get("url") or ""))

    @property
    def url_target(self) -> Path:
        """Where open_clip keeps what it downloads from a web address."""
        return Path("~/.cache/clip").expanduser() / self.url.rpartition("/")[2]

    @property
    def checksum(self) -> str:
        """The first digits of the file's sha256, as far as the address tells them; else ""."""
        found = re.search(r"/([0-9a-f]{64})/[^/]*$|-([0-9a-f]{8})\.\w+$", self.url)
        return (found[1] or found[2]) if found else ""

    def trusts(self, path: Path) -> bool:
        """Whether the whole sha256 of a file is known from its address, and was compared."""
        return len(self.checksum) == 64 and path == self.url_target

    def find(self) -> Path | None:
        """The weights, if they are on this machine already. Needs no network.

        Raises:
            EncoderError: they are there, but damaged.
        """
        found = [path for file in self.files if (path := _in_hub_cache(self.repository, file))]
        if self.url and self.url_target.is_file():
            found.append(self.url_target)
        found.sort(key=lambda path: path.suffix != _SAFE)
        return self._checked(found[0]) if found else None

    def fetch(self) -> Path:
        """Download the weights. Only ever called where the user allowed it.

        Raises:
            EncoderError: it failed; the message says how to place the file by hand.
        """
        import open_clip

        reasons = []
        for file in (*self.files, *filter(None, [self.url])):
            if file != self.url and not file.endswith(_SAFE) and not allowed(ALLOW_PICKLE):
                reasons.append(f"{file} is a pickle, see {ALLOW_PICKLE}")
                continue
            try:
                if file == self.url:
                    return self._checked(Path(open_clip.download_pretrained_from_url(file)))
                from huggingface_hub import hf_hub_download

                return self._checked(Path(hf_hub_download(self.repository, file)))
            except Exception as error:  # whatever a network can do
                reasons.append(f"{file}: {first_line(error)}")
        raise EncoderError(
            f"The weights of {self.name} could not be downloaded ({'; '.join(reasons)}). "
            + self.how_by_hand
        )

    @property
    def how_by_hand(self) -> str:
        """How to place the file without this program."""
        ways = []
        if self.repository:
            ways.append(
                f"get {' or '.join(self.files)} of the hub's repository {self.repository} and "
                f"name the file: {self.by_hand}/path/to/{self.files[0]}"
            )
        if self.url:
            ways.append(f"put {self.url} at {self.url_target}")
        return f"By hand: {'; or '.join(ways)}"

    def _checked(self, path: Path) -> Path:
        if self.url and path == self.url_target:
            check_sha256(path, self.checksum)
        else:
            check_blob(path)
        return path


def check_blob(path: Path) -> None:
    """Check a file of the hub's cache, which calls the file behind its links by its sha256.

    Raises:
        EncoderError: it is another, or damaged.
    """
    blob = Path(os.path.realpath(path))
    if re.fullmatch("[0-9a-f]{64}", blob.name):  # where there are no links, there is no such name
        check_sha256(blob, blob.name)


def first_line(error: Exception) -> str:
    """An error in one line of at most 200 characters, for a message of ours."""
    text = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {text}"[:200]


def _in_hub_cache(repository: str, file: str) -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(repository, file)
    except (ImportError, ValueError):  # ValueError: not a repository's name
        return None
    return Path(found) if isinstance(found, str) and Path(found).is_file() else None


def hub_folder(repository: str, file: str, name: str, download: bool) -> Path:
    """A folder with the small files of a transformers repository.

    Args:
        repository: on the hub, or a folder.
        file: what must be in it.
        name: the encoder's, for messages.
        download: whether it may be downloaded.

    Raises:
        MissingExtraError: it is not on this machine, and must not be downloaded.
        EncoderError: the download failed.
    """
    if (Path(repository) / file).is_file():
        return Path(repository)
    found = _in_hub_cache(repository, file)
    if found is not None:
        return found.parent
    if not download:
        raise MissingExtraError(
            f"{name} needs the description of '{repository}' from the hub (a few MB; {file} and "
            f"what lies beside it), which is not on this machine. Allow the download with "
            f"--download or {ALLOW_DOWNLOAD}=1."
        )
    # what describes a text tower and its tokenizer, and no weights
    small = ["*.json", "*.txt", "*.model", "*.tiktoken"]
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(repository, allow_patterns=small))
    except Exception as error:
        raise EncoderError(
            f"'{repository}' could not be downloaded from the hub ({first_line(error)})."
        ) from None


# -- reading ---------------------------------------------------------------------------------------


def read_state(path: Path, trusted: bool = False) -> dict[str, Any]:
    """The tensors of a file of weights, by name, on the CPU.

    Args:
        path: safetensors; or, where ``GMI_ALLOW_PICKLE`` allows it, a pickle of torch's, which is
            read by its restricted reader (``weights_only=True``).
        trusted: the file is known by its whole checksum: TorchScript may be read as well.

    Raises:
        EncoderError: damaged or cut off; a pickle that is not allowed; not weights at all.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise EncoderError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if head[:2] != b"PK" and head[:1] != b"\x80":
        state = _safetensors(path)
    elif _is_torchscript(path):
        state = _torchscript(path, trusted)
    else:
        state = _pickled(path)
    nested = state.get("state_dict", state) if isinstance(state, dict) else {}
    # "module." stands before the names where a network was trained on several devices
    tensors = {
        str(name).removeprefix("module."): value
        for name, value in (nested.items() if isinstance(nested, dict) else ())
        if hasattr(value, "shape")
    }
    if not tensors:
        raise EncoderError(f"{path}: holds no weights.")
    return tensors


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, ValueError, KeyError, OSError, RuntimeError) as error:
        raise EncoderError(
            f"{path}: is not a whole safetensors file ({first_line(error)}). If it was "
            "downloaded, the download may have stopped halfway: get it again."
        ) from None


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _torchscript(path: Path, trusted: bool) -> dict[str, Any]:
    """Of OpenAI's archives: open_clip 2.20, which two hosts ship, knows no other form of them."""
    if not trusted:
        raise EncoderError(
            f"{path}: is a program (TorchScript), not weights. Use weights as safetensors."
        )
    import torch

    jit: Any = torch.jit  # untyped
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch call it deprecated
        return dict(jit.load(str(path), map_location="cpu").state_dict())


def _pickled(path: Path) -> Any:
    if not allowed(ALLOW_PICKLE):
        raise EncoderError(
            f"{path}: is a pickle, which can hold more than weights; safetensors are expected. "
            f"If you trust where it comes from, set {ALLOW_PICKLE}=1; it is then read by torch's "
            "restricted reader."
        )
    import torch

    try:
        with path.open("rb") as file:  # by its content: newer versions of torch go by the name
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader has no error of its own
        raise EncoderError(
            f"{path}: cannot be read as weights ({first_line(error)}). It is damaged, was "
            "downloaded in part only, or holds more than weights."
        ) from None


def fit(model: torch.nn.Module, state: dict[str, Any], path: Path, architecture: str) -> None:
    """Put weights into a network that was made for them; every tensor must find its place.

    Raises:
        EncoderError: they are of another architecture.
    """
    try:
        model.load_state_dict(_as_open_clip(model, state), strict=True)
    except RuntimeError as error:  # a headline, then a line for each kind of difference
        complaints = "; ".join(line.strip()[:120] for line in str(error).splitlines()[1:5])
        raise EncoderError(
            f"{path}: are not weights of {architecture}: {complaints}. Name the "
            "architecture they were made for; gmi encoders --openclip lists those known."
        ) from None


def _as_open_clip(model: torch.nn.Module, state: dict[str, Any]) -> dict[str, Any]:
    """What open_clip's ``load_checkpoint`` does to weights of other times and makers.

    That function cannot be asked: it reads the file itself, in older versions as any pickle.
    """
    import torch
    from open_clip import model as models

    for name in ("input_resolution", "context_length", "vocab_size"):  # OpenAI's
        state.pop(name, None)
    try:
        from open_clip.convert import convert_state_dict
    except ImportError:  # before 2.24
        pass
    else:
        state = convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = models.convert_to_custom_text_state_dict(state)
    own: dict[str, torch.Tensor] = model.state_dict()
    for name in ("logit_scale", "logit_bias"):  # some are one number, others a list of one
        if name in state and name in own and state[name].numel() == own[name].numel():
            state[name] = state[name].reshape(own[name].shape)
    if "logit_bias" in own:
        state.setdefault("logit_bias", torch.zeros_like(own["logit_bias"]))
    positions = "text.transformer.embeddings.position_ids"  # no longer kept by transformers
    if positions in state and positions not in own:
        del state[positions]
    return state
