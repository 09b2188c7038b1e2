"""Nearest vectors: exact search is exact, and the approximate one nearly so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lib_gmi.base.errors import LibraryError
from lib_gmi.base.vectors import unit
from lib_gmi.search.vectors import Approximate, largest


def vectors(rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = unit(np.random.default_rng(9).standard_normal((40, 24)).astype(np.float32))
    noise = unit(rng.standard_normal((rows, 24)).astype(np.float32))
    return unit(centres[rng.integers(40, size=rows)] + 0.5 * noise)


def test_exact_search_orders_all_rows() -> None:
    everything = vectors(5000) @ vectors(1, 7)[0]
    wanted = np.argsort(-everything, kind="stable")[:12]
    assert np.array_equal(largest(everything, 12), wanted)


def test_equal_scores_keep_their_order_and_too_many_are_no_error() -> None:
    assert largest(np.asarray([1, 3, 3, 2], np.float32), 9).tolist() == [1, 2, 3, 0]
    assert largest(np.empty(0, np.float32), 3).tolist() == []


def test_approximate_search_finds_nearly_all_and_survives_a_file(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    matrix, queries = vectors(8000), vectors(20, 5)
    built = Approximate.build(matrix)
    built.save(tmp_path / "index.faiss")
    index = Approximate.load(tmp_path / "index.faiss")
    assert len(index) == 8000
    shared = [
        len(set(index.nearest(q, 10)[0]) & set(largest(matrix @ q, 10))) / 10 for q in queries
    ]
    assert np.mean(shared) >= 0.95
    rows, scores = index.nearest(queries[0], 10)
    assert np.allclose(scores, matrix[rows] @ queries[0], atol=1e-5)


def test_a_damaged_index_names_its_file(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    path = tmp_path / "index.faiss"
    path.write_bytes(b"IwFlnothing")
    with pytest.raises(LibraryError, match=r"index\.faiss: is damaged"):
        Approximate.load(path)
