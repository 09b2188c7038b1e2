"""Table 2: the learned kernel with each of its parts taken out; Fig. 7: γ, λ, τ_I and τ_T.

Everything runs with the kernel's default hyperparameters; nothing is tuned here.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from lib_gmi.encoders import registry
from lib_gmi.ranking.discriminants import Precision, Scatter
from lib_gmi.ranking.kernels import TAU_IMAGE, TAU_TEXT, Params
from lib_gmi.ranking.normalised import Normalizer

from .bench import CLIP, WEIGHTED, rates
from .scores import (
    GIVEN,
    WITHHELD,
    by_name,
    learned_with,
    score_table,
    temperatures,
    with_blocks,
    with_gamma,
)

if TYPE_CHECKING:
    from lib_gmi.ranking.stack import Stack
    from lib_gmi.records.protocols import FloatArray

    from .bench import Bench, Group
    from .scores import Fit

#: So much shrinkage makes P a multiple of the identity.
NO_WHITENING = 1e9
GAMMAS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
LAMBDAS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
TAUS = (0.03, 0.05, 0.1, 0.2, 0.4, 1.0)


class WithoutContent:
    """The learned kernel with S from prompt-centred residuals: the content is left out of it.

    s_m = ‖P^{1/2}(z − z̄ − e_m)‖² with P = (S_W + λ/d·I)⁻¹, S_W the covariance, scaled to trace 1,
    of z_{m,i} − z̄_i − e_m. Complete specifications only.
    """

    name = "learned without content in S"

    def __init__(self, stack: Stack, shrinkage: float = 1.0) -> None:
        self._shape = stack.mask.shape
        blocks = registry.info(stack.encoder_id).blocks
        self._normalizer = Normalizer.fit(stack.features[stack.mask], blocks)
        samples = self._normalizer.transform(stack.features)
        weights = stack.mask[:, :, None]
        prompts = (samples * weights).sum(axis=0) / np.maximum(weights.sum(axis=0), 1)
        effects = ((samples - prompts) * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1)
        rows = (samples - prompts - effects[:, None])[stack.mask]
        rows /= np.sqrt(np.square(rows).sum())
        precision = Precision(Scatter.of(rows.astype(np.float32)), shrinkage / rows.shape[1])
        self._centre = prompts.mean(axis=0).astype(np.float32)
        self._solved = precision.apply(effects.astype(np.float32))
        self._squares = np.einsum("md,md->m", effects, self._solved)

    def scores(self, features: FloatArray, prompts: FloatArray | None) -> FloatArray:
        """Up to what is the same for all candidates; see ``FittedMethod`` of the methods."""
        query = self._normalizer.transform(features) - self._centre
        return np.asarray(self._squares - 2 * query @ self._solved.T, dtype=np.float32)

    def evidence(
        self, features: FloatArray, prompts: FloatArray | None, candidate: int
    ) -> FloatArray:
        """None is given: this is a part of a comparison, not a method to be used."""
        return np.full(self._shape[1], -np.inf, dtype=np.float32)


def table2(bench: Bench) -> list[dict[str, Any]]:
    """Each part of the learned kernel taken out, or put in where the default has none."""
    group = bench.group(bench.main)
    stack, default = group.stack, learned_with(Params())

    def table_of(data: Stack, fit: Fit, prompt: str) -> FloatArray:
        return score_table(data, fit, prompt, splits=group.splits)

    centred = learned_with(Params(attention=1.0))
    rows = [_row(group, "learned, as it is (the defaults)", table_of(stack, default, WITHHELD))]
    unwhitened = table_of(stack, learned_with(Params(NO_WHITENING)), WITHHELD)
    rows.append(_row(group, "without whitening: P = I", unwhitened))
    free = table_of(stack, learned_with(Params(pull=0.0)), WITHHELD)
    rows.append(_row(group, "without pulling candidates together: κ = 0", free))
    rows.append(_row(group, "without content in S", table_of(stack, WithoutContent, WITHHELD)))
    terms = {
        "text and image weights": (TAU_IMAGE, TAU_TEXT),
        "image weights only": (TAU_IMAGE, inf),
    }
    terms["text weights only"] = (inf, TAU_TEXT)
    for name, (image, text) in terms.items():
        if stack.prompt_embeddings is None and text != inf:
            continue
        with temperatures(image, text):
            table = table_of(stack, centred, GIVEN)
        rows.append(_row(group, f"centred on prompts like the query's (ρ = 1): {name}", table))
    blocks = registry.info(stack.encoder_id).blocks
    for block in blocks if len(blocks) > 1 else ():
        left = [other for other in blocks if other != block]
        table = table_of(with_blocks(stack, left), default, WITHHELD)
        rows.append(_row(group, f"without the features {block.name}", table))
    return rows


def robustness(bench: Bench) -> list[dict[str, Any]]:
    """Fig. 7: top-1 and top-4 against each hyperparameter, all others at their defaults."""
    group = bench.group(bench.main)
    stack = group.stack
    rows = []
    for gamma in GAMMAS:
        varied = with_gamma(stack, gamma)
        for entrant in (CLIP, WEIGHTED):
            if bench.can(entrant):
                table = score_table(
                    varied, by_name(entrant.name), entrant.prompt, splits=group.splits
                )
                rows.append(_row(group, entrant.name, table, parameter="γ", value=gamma))
    for shrinkage in LAMBDAS:
        table = score_table(stack, learned_with(Params(shrinkage)), WITHHELD, splits=group.splits)
        rows.append(_row(group, "learned", table, parameter="λ", value=shrinkage))
    half = learned_with(Params(attention=0.5))
    for tau in TAUS:
        for symbol in ("τ_I", "τ_T"):
            if symbol == "τ_T" and stack.prompt_embeddings is None:
                continue
            image, text = (tau, TAU_TEXT) if symbol == "τ_I" else (TAU_IMAGE, tau)
            with temperatures(image, text):
                table = score_table(stack, half, GIVEN, splits=group.splits)
            rows.append(_row(group, "learned, ρ = .5", table, parameter=symbol, value=tau))
    return rows


def _row(group: Group, name: str, table: FloatArray, **more: Any) -> dict[str, Any]:
    row = {"variant": name, "models": group.name, **more}
    for images in (1, 4):
        tasks = group.tasks(images)
        if len(tasks):
            found = rates(tasks, table)
            row |= {f"top1_{images}": found["top1"], f"top4_{images}": found["top4"]}
    return row
