"""The learned kernel.

With weights w over the prompts, a candidate's samples z_{m,i} and a query z,

    s_m = ‖ P^{1/2} ( z − Σ_i w_i z_{m,i} ) ‖²,     w_i = (1−ρ)/N + ρ·a_i(z, q),

which is Eq. 3 of arXiv 2412.12232 under a linear kernel instead of the RBF. P is the inverse
covariance of the errors that this very prediction makes on samples of the library, each left out
in turn: with ρ = 0 the scatter of a candidate's samples around their mean, the content included,
so that the directions in which images differ by what they show count for little. The result is
regularised linear discriminant analysis (Fisher 1936; Friedman 1989); see ``docs/method.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import RankingError
from ..base.paths import data_folder
from ..base.vectors import unit
from ..encoders import registry
from .discriminants import Additive, Discriminants, Precision, Scatter
from .normalised import Normalised, Normalizer

if TYPE_CHECKING:
    from ..encoders.info import Block
    from ..records.protocols import FloatArray
    from .stack import Stack

#: Temperatures of the attention a = softmax(cos(z, z̄_j)/τ_I + cos(q_j, q_τ)/τ_T).
TAU_IMAGE = 0.1
TAU_TEXT = 0.2

#: A prior counts as much as so many samples (``benchmarks/prior.py`` measures it).
PRIOR_STRENGTH = 20.0
#: Share of the error covariance that stands for what people do to images before they ask. A few
#: hundredths make a query nearly as easy after a JPEG as before (``benchmarks/robustness.py``).
CHANGES_WEIGHT = 0.03


@dataclass(frozen=True, eq=False)
class Prior:
    """What other models' samples say about an encoder: it steadies the fit of a small library.

    Attributes:
        deviation: reference deviations of the raw features, ``[d]``; ``None`` if unknown.
        scatter: rows whose outer products add up to the expected scatter of a candidate's
            samples, in normalised features and with trace 1, ``[r, d]``; ``None`` if unknown.
        strength: worth so many samples; the weight is ``strength / (strength + samples)``.
        changes: rows whose outer products add up to the scatter of what JPEG, WebP, shrinking and
            cropping do to an image's features, likewise, ``[c, d]``; ``None`` if unknown.
    """

    deviation: FloatArray | None = None
    scatter: FloatArray | None = None
    strength: float = PRIOR_STRENGTH
    changes: FloatArray | None = None


@dataclass(frozen=True)
class Params:
    """Hyperparameters of the learned kernel; chosen by leave-one-prompt-out.

    Attributes:
        shrinkage: λ; the isotropic part of the error covariance, relative to its mean eigenvalue.
        attention: ρ in [0, 1]; how far the weights of the prompts follow the query.
        pull: κ ≥ 0; how far candidates are drawn to the mean of all in directions in which they
            differ little for the noise of their samples. Only with ρ = 0.
        balance: of joined encoders, see :class:`.Normalizer`; empty for one encoder, and for
            several that count equally.
    """

    shrinkage: float = 1.0
    attention: float = 0.0
    pull: float = 50.0
    balance: tuple[float, ...] = ()


#: What leave-one-prompt-out chooses from; the first is the default. Those that share a space stand
#: together, see :meth:`LearnedKernel.fit_grid`.
GRID: tuple[Params, ...] = (
    Params(1.0),
    Params(1.0, pull=5.0),
    Params(1.0, pull=200.0),
    Params(0.3),
    Params(3.0),
    Params(1.0, 0.5),
)
#: How much more one of several joined encoders may count than the others.
_EMPHASIS = 4.0


def grid_for(blocks: Sequence[Block]) -> tuple[Params, ...]:
    """:data:`GRID`, and for joined encoders each of them emphasised as well."""
    parts = 1 + max(block.part for block in blocks)
    if parts < 2:
        return GRID
    emphasised = (
        tuple(_EMPHASIS if part == chosen else 1.0 for part in range(parts))
        for chosen in range(parts)
    )
    return (*GRID, *(Params(balance=balance) for balance in emphasised))


class LearnedKernel:
    """The learned kernel, fitted to M candidates × N prompts. See the module's docstring.

    Scores are squared distances in the space in which candidates differ, of at most M − 1
    dimensions; what lies outside of it is the same for all of them and is what :meth:`novelty`
    measures.

    Attributes:
        candidates: where they are drawn to in this space, ``[M, r]``.
    """

    name = "learned"

    def __init__(
        self,
        stack: Stack,
        params: Params,
        normalizer: Normalizer,
        space: Discriminants,
        samples: Normalised,
    ) -> None:
        self.params = params
        self.normalizer = normalizer
        self.space = space
        self._stack = stack
        share_kept = space.kept_share(params.pull)
        self.candidates = np.asarray(share_kept * space.candidates, dtype=np.float32)
        # An average of few samples lies too far out; without this, short specifications starve.
        squares = np.square(self.candidates) - np.square(share_kept) * space.means_noise
        self._constant = np.asarray(squares.sum(axis=1), dtype=np.float32)
        if params.attention > 0:
            self._prepare_attention(space.additive.centred(samples.whole(), stack.mask))

    @classmethod
    def fit(
        cls, stack: Stack, prior: Prior | None = None, params: Params | None = None
    ) -> LearnedKernel:
        """Fit to a stack.

        Args:
            stack: the candidates.
            prior: of the encoder.
            params: hyperparameters, by default those that suit most libraries.
        """
        return next(cls.fit_grid(stack, prior, [params or GRID[0]]))

    @classmethod
    def fit_grid(
        cls, stack: Stack, prior: Prior | None, grid: Sequence[Params]
    ) -> Iterator[LearnedKernel]:
        """Fit once per choice of hyperparameters, one after the other.

        Each takes over what it has in common with the one before, and no more is kept: the space
        of a thousand models is as large as a good part of their samples.
        """
        basis: _Basis | None = None
        space: Discriminants | None = None
        way: tuple[float, float] | None = None
        for params in grid:
            if basis is None or basis.normalizer.balance != params.balance:
                basis, space = _Basis.fit(stack, prior, params.balance), None
            if space is None or way != (params.attention, params.shrinkage):
                space, way = None, (params.attention, params.shrinkage)
                space = basis.space(params)
            yield cls(stack, params, basis.normalizer, space, basis.samples)

    def scores(self, features: FloatArray, prompts: FloatArray | None) -> FloatArray:
        """Squared distances ``[n, M]`` for raw features ``[n, d]``; see :mod:`.methods`."""
        query = self.normalizer.transform(features)
        if self.params.attention > 0:
            return self._attentive_scores(query, prompts)
        projected = (query - self.space.additive.centre) @ self.space.projection.T
        squares = np.einsum("nr,nr->n", projected, projected)[:, None]
        return np.asarray(squares - 2 * projected @ self.candidates.T + self._constant)

    def novelty(self, features: FloatArray) -> FloatArray:
        """How unlike anything in the library an image is, ``[n, d] → [n]``.

        The part of ‖P^{1/2}(z − z̄)‖² that lies outside the space in which candidates differ.
        """
        return self.space.novelty(self.normalizer.transform(features))

    def distance(self, features: FloatArray) -> FloatArray:
        """How far images are from the nearest candidate, ``[n, d] → [n]``."""
        nearest = self.scores(features, None).min(axis=1)
        outside = 0 if self.params.attention > 0 else self.novelty(features)
        return np.asarray(nearest + outside, dtype=np.float32)

    def evidence(
        self, features: FloatArray, prompts: FloatArray | None, candidate: int
    ) -> FloatArray:
        """⟨φ(z), φ(z_{m,i} − z̄_i)⟩ for each sample of a candidate, ``[N]``."""
        query = self.normalizer.transform(features) - self.space.additive.centre
        strength = self.space.samples[candidate] @ (self.space.projection @ query.mean(axis=0))
        return np.where(self._stack.mask[candidate], strength, -np.inf).astype(np.float32)

    def to_tensors(self) -> dict[str, FloatArray]:
        """What scoring needs, as arrays for safetensors; :func:`scores_from_tensors` reads it."""
        if self.params.attention > 0:
            raise RankingError("Only the state of a kernel with attention 0 can be saved.")
        return {
            "mean": self.normalizer.mean,
            "deviation": self.normalizer.deviation,
            "balance": np.asarray(self.normalizer.balance, dtype=np.float32),
            "centre": self.space.additive.centre,
            "projection": self.space.projection,
            "candidates": self.candidates,
            "constant": self._constant,
        }

    # -- ρ > 0: the candidates' representation follows the query -----------------------------------

    def _prepare_attention(self, centred: FloatArray) -> None:
        flat = centred.reshape(-1, centred.shape[-1])
        precision = self.space.precision
        solved = flat if precision is None else precision.apply(flat)
        self._solved = solved.reshape(centred.shape)
        self._gram = self._solved @ centred.transpose(0, 2, 1)
        self._presence = self._stack.mask.astype(np.float32)

    def _attentive_scores(self, query: FloatArray, prompts: FloatArray | None) -> FloatArray:
        additive = self.space.additive
        weights = _weights(query, prompts, additive, self._stack, self.params.attention)
        missing = query - weights @ additive.prompts
        outside = self.space.quadratic(missing)
        present = weights[:, None, :] * self._presence
        present /= np.maximum(present.sum(axis=2, keepdims=True), 1e-12)
        linear = np.einsum("qmi,mid,qd->qm", present, self._solved, missing, optimize=True)
        gram = self._gram @ present.transpose(1, 2, 0)
        quadratic = np.einsum("qmi,miq->qm", present, gram)
        bias = self.space.noise * np.square(present).sum(axis=2)
        return np.asarray(outside[:, None] - 2 * linear + quadratic - bias, dtype=np.float32)


def scores_from_tensors(
    tensors: Mapping[str, FloatArray], blocks: tuple[Block, ...], features: FloatArray
) -> FloatArray:
    """:meth:`LearnedKernel.scores` from saved state: ``[n, d] → [n, M]``."""
    balance = tuple(tensors.get("balance", np.empty(0)).tolist())  # older files have none
    normalizer = Normalizer(tensors["mean"], tensors["deviation"], blocks, balance)
    centred = normalizer.transform(features) - tensors["centre"]
    projected = centred @ tensors["projection"].T
    squares = np.einsum("nr,nr->n", projected, projected)[:, None]
    return np.asarray(squares - 2 * projected @ tensors["candidates"].T + tensors["constant"])


@dataclass(eq=False)
class _Basis:
    """What kernels of one balance have in common."""

    stack: Stack
    prior: Prior | None
    normalizer: Normalizer
    samples: Normalised
    additive: Additive
    _scatters: dict[float, Scatter | None] = field(default_factory=dict)

    @classmethod
    def fit(cls, stack: Stack, prior: Prior | None, balance: tuple[float, ...]) -> _Basis:
        blocks = registry.info(stack.encoder_id).blocks
        reference = None if prior is None else prior.deviation
        normalizer = Normalizer.fit(stack.samples(), blocks, reference, balance)
        samples = Normalised(stack, normalizer)
        return cls(stack, prior, normalizer, samples, Additive.fit(samples, stack))

    def space(self, params: Params) -> Discriminants:
        """Where candidates differ, for the errors that these hyperparameters make."""
        if params.attention not in self._scatters:
            self._scatters[params.attention] = self._errors(params.attention)
        scatter, precision = self._scatters[params.attention], None
        if scatter is not None:
            mu = params.shrinkage / self.stack.features.shape[-1]
            precision = Precision(scatter, mu)
        return Discriminants(self.stack, self.additive, self.samples, precision)

    def _errors(self, attention: float) -> Scatter | None:
        """The error covariance, with trace 1; ``None`` if it is 0.

        The error of a sample is what is left when it is predicted like a query, from the other
        prompts: z_{m,i} − Σ_{j≠i} w_j z_{m,j}.
        """
        if attention > 0:
            whole = self.samples.whole()
            centred = self.additive.centred(whole, self.stack.mask)
            rows = _attentive_errors(whole, centred, self.additive, self.stack, attention)
            parts: Callable[[], Iterator[FloatArray]] = lambda: iter([rows])  # noqa: E731
        else:
            parts = self._residuals
        count, energy = 0, 0.0
        for part in parts():
            count += len(part)
            energy += float(np.einsum("nd,nd->", part, part, dtype=np.float64))
        if min(self.stack.mask.shape) < 2 or energy <= 1e-20 * max(count, 1):
            return None
        weight, others, prior = 1.0, [], self.prior
        if prior is not None and prior.scatter is not None:
            share = prior.strength / (prior.strength + count)
            weight -= share
            others.append(np.float32(np.sqrt(share)) * prior.scatter)
        if prior is not None and prior.changes is not None:
            others.append(np.float32(np.sqrt(CHANGES_WEIGHT)) * prior.changes)
        shape = (count, self.stack.features.shape[-1])
        return Scatter.of_parts(parts(), shape, weight / energy, others)

    def _residuals(self) -> Iterator[FloatArray]:
        """What candidates' own means leave of their samples, ``[k, d]`` at a time."""
        means = self.additive.centre + self.additive.effects
        for part, block in self.samples.blocks():
            yield (block - means[part][:, None])[self.stack.mask[part]]


def _attentive_errors(
    samples: FloatArray,
    centred: FloatArray,
    additive: Additive,
    stack: Stack,
    attention: float,
) -> FloatArray:
    mask = stack.mask
    embeddings = stack.prompt_embeddings
    errors = np.zeros_like(samples)
    for column in range(mask.shape[1]):
        rows = np.flatnonzero(mask[:, column])
        query = samples[rows, column]
        text = None if embeddings is None else np.tile(embeddings[column], (len(rows), 1))
        weights = _weights(query, text, additive, stack, attention, left_out=column)
        own = weights * mask[rows]
        own /= np.maximum(own.sum(axis=1, keepdims=True), 1e-12)
        present = centred if len(rows) == len(centred) else centred[rows]
        predicted = weights @ additive.prompts + (own[:, None] @ present)[:, 0]
        errors[rows, column] = query - predicted
    return np.asarray(errors[mask], dtype=np.float32)


def _weights(
    query: FloatArray,
    prompts: FloatArray | None,
    additive: Additive,
    stack: Stack,
    attention: float,
    left_out: int | None = None,
) -> FloatArray:
    """w_i = (1−ρ)/N + ρ·a_i for normalised queries, ``[n, N]``; rows add up to 1."""
    logits = query @ unit(additive.prompts).T / TAU_IMAGE
    if prompts is not None and stack.prompt_embeddings is not None:
        logits = logits + prompts @ stack.prompt_embeddings.T / TAU_TEXT
    uniform = np.ones(logits.shape[1], dtype=np.float32)
    if left_out is not None:
        logits[:, left_out] = -np.inf
        uniform[left_out] = 0
    logits = logits - logits.max(axis=1, keepdims=True)
    focus = np.exp(logits)
    focus /= focus.sum(axis=1, keepdims=True)
    weights = (1 - attention) * uniform / uniform.sum() + attention * focus
    return np.asarray(weights, dtype=np.float32)


def prior_path(encoder_id: str) -> Path:
    """Where the prior of an encoder is kept, if it has one."""
    return data_folder() / "priors" / (encoder_id.replace("/", "-") + ".safetensors")


def load_prior(encoder_id: str) -> Prior | None:
    """The prior that ships with an encoder, or ``None``."""
    path = prior_path(encoder_id)
    if not path.is_file():
        return None
    from safetensors.numpy import load

    tensors: dict[str, Any] = load(path.read_bytes())
    rows = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    return Prior(**rows)
