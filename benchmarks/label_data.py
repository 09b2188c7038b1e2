"""Make the arrays of the joint space of ``lib_gmi/encoders/labels.py``.

    python -m benchmarks.label_data PATH

PATH is a folder with images/<model>/<prompt id>.jpg. Writes the embeddings of ImageNet's classes,
the centre of the default prompts, and the centre of these images, in float16, where the package
ships them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib_gmi.base.errors import GMIError
from lib_gmi.base.files import write_atomic
from lib_gmi.base.vectors import unit
from lib_gmi.encoders import labels, text
from lib_gmi.records.prompts import default_prompt_set

from .text_image import read_looks

if TYPE_CHECKING:
    from lib_gmi.records.protocols import FloatArray


def class_embeddings(rows: Sequence[dict[str, str]]) -> FloatArray:
    """The mean of the embeddings of a class's three wordings, ``[n, 384]``."""
    texts = []
    for row in rows:
        texts += [row["name"], row["synonyms"], f"{row['synonyms']}: {row['gloss']}"]
    found = text.load().encode_texts(texts)
    return np.asarray(found.reshape(len(rows), 3, -1).mean(axis=1), dtype=np.float32)


def text_centre() -> FloatArray:
    """The mean embedding of the default prompts, ``[384]``."""
    prompts = [prompt.text for prompt in default_prompt_set().prompts]
    return np.asarray(text.load().encode_texts(prompts).mean(axis=0), dtype=np.float32)


def main(argv: Sequence[str] | None = None) -> int:
    from safetensors.numpy import save

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="PATH")
    parser.add_argument("--looks", type=Path, metavar="FILE", help="keep what was seen here (.npz)")
    arguments = parser.parse_args(argv)
    try:
        classes = class_embeddings(labels.rows()).astype(np.float16)
        rounded = classes.astype(np.float32)
        seen = read_looks(arguments.folder, arguments.looks)
        space = unit(rounded - rounded.mean(axis=0))
        centre = (seen.looks.probabilities() @ space).mean(axis=0)
        arrays = {
            "classes": classes,
            "image_centre": centre.astype(np.float16),
            "text_centre": text_centre().astype(np.float16),
        }
        write_atomic(labels.arrays_path(), save(arrays))
    except (GMIError, OSError) as error:
        print(f"benchmarks.label_data: {error}", file=sys.stderr)
        return 2
    print(labels.arrays_path())
    return 0


if __name__ == "__main__":
    sys.exit(main())
