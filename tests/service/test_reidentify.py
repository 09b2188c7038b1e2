"""A quick identity becomes a full one without losing a sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lib_gmi.library.catalogue import Library
from lib_gmi.records.specification import CandidateRef, PromptSetRef, Specification


def specification(identity: str, prompts: list[str]) -> Specification:
    rng = np.random.default_rng(len(prompts))
    return Specification(
        CandidateRef(identity, "dream", "dream.safetensors"),
        "pixels/32x32@squeeze32-v1",
        rng.random((len(prompts), 6), dtype=np.float32),
        tuple(prompts),
        tuple(range(len(prompts))),
        PromptSetRef("test", "1", "hash", 8),
    )


def test_specifications_move_to_the_full_hash(tmp_path: Path) -> None:
    library = Library(tmp_path)
    quick = specification("quick:aa", ["a", "b"])
    library.add(quick)
    other = specification("quick:bb", ["a"])
    library.add(other)

    assert library.reidentify("quick:aa", "sha256:ff") == 1

    assert sorted(e.identity for e in library.entries()) == ["quick:bb", "sha256:ff"]
    moved = library.get(
        replace(quick, candidate=replace(quick.candidate, identity="sha256:ff")).key
    )
    assert moved is not None
    assert np.array_equal(moved.features, quick.features)
    assert library.verify().damaged == ()
    assert library.reidentify("quick:aa", "sha256:ff") == 0


def test_what_was_built_under_both_is_joined(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add(specification("quick:aa", ["a", "b", "c"]))
    library.add(specification("sha256:ff", ["a"]))
    library.reidentify("quick:aa", "sha256:ff")
    (entry,) = library.entries()
    assert entry.described["prompt_ids"] == ["a", "b", "c"]
