"""Small models of the real architectures with random weights, stand-ins for real ones.

A host's own interpreter runs this file, so that they suit its versions of the packages::

    python random_models.py FOLDER
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What the CLIP is called in open_clip once somebody has told it.
NAME = "gmi-random-stand-in"
#: All that the captions are made of.
WORDS = ("cat", "dog", "sky", "red", "old")
_CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "patch_size": 16, "head_width": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
_SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "projection_dim": 16,
}
_MISSING = """
import importlib.util, sys
print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])
"""


@dataclass(frozen=True)
class RandomModels:
    """A CLIP and a BLIP in a folder."""

    folder: Path

    @property
    def config(self) -> Path:
        """The CLIP's architecture; open_clip calls it by the file's name."""
        return self.folder / f"{NAME}.json"

    @property
    def weights(self) -> Path:
        """The CLIP's."""
        return self.folder / "open_clip_model.safetensors"

    @property
    def blip(self) -> Path:
        """A folder as transformers keeps them."""
        return self.folder / "blip"

    def variables(self) -> dict[str, str]:
        """What tells clip-interrogator to use them."""
        return {
            "GMI_CAPTION_MODEL": str(self.blip),
            "GMI_CLIP_MODEL": f"{NAME}/random",
            "GMI_CLIP_WEIGHTS": str(self.weights),
        }

    def extension(self) -> str:
        """A program for a host that tells open_clip what the CLIP looks like."""
        return f"import open_clip\n\nopen_clip.add_model_config({str(self.config)!r})\n"


def missing_packages(python: str, *modules: str) -> str | None:
    """Why an interpreter cannot make or use them; nothing where it can."""
    command = [python, "-c", _MISSING, *modules]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return f"{python} does not have {', '.join(found)}" if found else None


def make(python: str, folder: Path) -> RandomModels:
    """Make them with a host's interpreter."""
    folder.mkdir(parents=True)
    command = [python, __file__, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return RandomModels(folder)


# -- in the host's interpreter --------------------------------------------------------------------


def _make_clip(models: RandomModels) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    models.config.write_text(json.dumps(_CLIP))
    open_clip.add_model_config(str(models.config))
    torch.manual_seed(0)
    state = open_clip.create_model(NAME).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, str(models.weights))


def _make_blip(folder: Path) -> None:
    import torch
    import transformers

    library: Any = transformers  # untyped
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    text = {
        **_SMALL,
        "vocab_size": len(words),
        "encoder_hidden_size": 16,
        "max_position_embeddings": 64,
        "bos_token_id": 2,
        "sep_token_id": 3,
        "eos_token_id": 3,
        "pad_token_id": 0,
    }
    vision = {**_SMALL, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    config = library.BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
    model = library.BlipForConditionalGeneration(config)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = library.BertTokenizerFast(str(folder / "vocab.txt"))
    pixels = library.BlipImageProcessor(size={"height": 32, "width": 32})
    library.BlipProcessor(pixels, tokenizer).save_pretrained(folder)


if __name__ == "__main__":
    chosen = RandomModels(Path(sys.argv[1]))
    _make_clip(chosen)
    _make_blip(chosen.blip)
