"""How well samples, and checkpoints, fit the parts of a query: the one place that scores.

Each part is an expert; of several the weighed, standardised log scores are added (a product of
experts). Samples are scored by the cosines of their vectors and by the words of their prompts;
checkpoints by a score of Lu et al. (arXiv 2210.03116, :mod:`.content`) over their samples and,
where images or another checkpoint are given, by the learned kernel (:mod:`.style`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..base.errors import EncoderError, MissingExtraError, SearchError
from ..base.vectors import unit
from ..encoders.sketches import dark_on_light
from .content import monte_carlo, product_of_experts
from .library_samples import literal
from .style import aligned

if TYPE_CHECKING:
    from ..records.protocols import FloatArray, JointEncoder
    from .folder_images import FolderImages
    from .library_samples import LibrarySamples
    from .query import Query
    from .style import Style

    #: What can be searched, each with a vector of unit length.
    Source = LibrarySamples | FolderImages

#: κ of the scores; chosen by ``benchmarks/search.py`` from 3, 10, 30 and 100.
KAPPA = 10.0
#: The score that measured best for each kind of query (``docs/results-more.md``).
BEST = {"text": "monte-carlo", "image": "density", "sketch": "density", "like": "monte-carlo"}
#: Samples of another checkpoint that are asked with.
_MOST_LIKE = 64


class Scorer:
    """Scores by one query.

    Args:
        query: what is looked for.
        joint: encoder of images and texts.
        whole: all kept samples of the library, whatever is searched.
        like: identity and title of the checkpoint to be like, if there is one.

    Attributes:
        notes: whole sentences on how scores came about.
    """

    def __init__(
        self,
        query: Query,
        joint: JointEncoder,
        whole: LibrarySamples,
        like: tuple[str, str] | None,
    ) -> None:
        self.query, self.joint, self._whole, self._like = query, joint, whole, like
        self.notes: list[str] = []

    def vectors(self, part: str) -> FloatArray:
        """Of a part of the query, of unit length, ``[n, d]``; those of sketches fit line drawings.

        Raises:
            ImageError: an image cannot be used.
            MissingExtraError: it is a text and the text encoder is not installed.
            SearchError: no samples are kept of the checkpoint to be like.
        """
        query = self.query
        if part == "text":
            return unit(self.joint.encode_texts([query.text.strip()]))
        if part == "image":
            return unit(self.joint.encode_images(query.images))
        if part == "sketch":
            return unit(self.joint.encode_images([dark_on_light(s) for s in query.sketches]))
        assert self._like is not None
        identity, title = self._like
        if identity not in self._whole.identities:
            raise SearchError(f"{title}: no samples of it are kept, so nothing can be like it.")
        rows = self._whole.rows_of(identity)
        return np.asarray(self._whole.vectors[rows[:: max(1, -(-len(rows) // _MOST_LIKE))]])

    def samples(
        self, sources: Sequence[Source], lines: LibrarySamples | None, nearest: int | None
    ) -> FloatArray:
        """How well all samples of some sources fit; −inf rules one out.

        Args:
            sources: with a sketch, the library's samples alone.
            lines: the library's samples as line drawings, for a sketch.
            nearest: if only so many are wanted, of whichever checkpoint.
        """
        parts = []
        for part in self.query.parts:
            alone = nearest if self.query.parts in (("text",), ("image",)) else None
            vector = None if part == "tags" else unit(self.vectors(part).mean(axis=0))
            each = [self._samples(part, source, vector, lines, alone) for source in sources]
            parts.append(np.concatenate(each))
        if len(parts) == 1:
            return parts[0]
        finite = (np.where(np.isfinite(scores), scores, 0) for scores in parts)
        weights = map(self.query.weight, self.query.parts)
        total = product_of_experts(list(zip(finite, weights, strict=True)))
        total[np.any(~np.isfinite(parts), axis=0)] = -np.inf
        return total

    def _samples(
        self,
        part: str,
        source: Source,
        vector: FloatArray | None,
        lines: LibrarySamples | None,
        nearest: int | None,
    ) -> FloatArray:
        if vector is None:
            scores, unseen = self._tags(source)
            if unseen:
                scores[scores <= 0] = -np.inf  # nothing else speaks for them
            return scores
        if part == "sketch":
            assert lines is not None
            drawn = dict(zip(lines.files, lines.vectors @ vector, strict=True))
            found = [drawn.get(file, -np.inf) for file in self._whole.files]
            return np.asarray(found, dtype=np.float32)
        # samples whose prompts hold all words come first, among them those that show it best
        named = source.words.scores(self.query.text) if part == "text" else np.zeros(len(source))
        told = np.flatnonzero(named > 0)
        return np.asarray(source.cosines(vector, nearest, told) + named, dtype=np.float32)

    def _tags(self, source: Source) -> tuple[FloatArray, bool]:
        """How well each sample shows the tags, ``[n]``, and whether only prompts were looked at.

        A tag that the prompt names counts 1; half the cosine of image and tag is added. Of several
        tags the best counts, or the worst where all are asked for.
        """
        words, unseen = self.query.words, False
        scores = np.stack([literal(source.prompts, word) for word in words])
        try:
            scores += unit(self.joint.encode_texts(words)) @ source.vectors.T / 2
        except (MissingExtraError, EncoderError) as error:
            unseen = True
            self._note(f"Tags were looked for in prompts only: {error}")
        return scores.min(axis=0) if self.query.all_tags else scores.max(axis=0), unseen

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    # -- checkpoints ------------------------------------------------------------------------------

    def checkpoints(
        self, samples: LibrarySamples, lines: LibrarySamples | None, style: Style | None
    ) -> tuple[dict[str, FloatArray], FloatArray]:
        """Log scores of M checkpoints by part, each ``[M]``, and how each sample fits, ``[n]``.

        Args:
            samples: of the checkpoints.
            lines: as line drawings, for a sketch.
            style: the fitted library, if there is one.
        """
        experts: dict[str, FloatArray] = {}
        fit = np.zeros(len(samples), dtype=np.float32)
        for part in self.query.parts:
            if part == "tags":
                products, _ = self._tags(samples)
                experts[part] = monte_carlo(products, samples.starts, KAPPA)
                fit += products
            elif part == "like":
                experts[part] = self._alike(samples, style)
            elif part == "sketch":
                assert lines is not None
                drawn = self._content(lines, self.vectors(part), part).tolist()
                known = dict(zip(lines.identities, drawn, strict=True))
                experts[part] = aligned(known, samples.identities)
            else:
                vectors = self.vectors(part)
                experts[part] = self._content(samples, vectors, part)
                fit += samples.vectors @ vectors.mean(axis=0)
            if part == "image" and style is not None and self.query.weight("style") > 0:
                self._add_style(experts, samples, style)
        return experts, fit

    def _content(self, samples: LibrarySamples, vectors: FloatArray, part: str) -> FloatArray:
        """Log scores, the mean over the query's vectors: a product of experts as well."""
        if (self.query.score or BEST[part]) == "density":
            found = [samples.statistics.density(vector) for vector in vectors]
        else:
            products = (samples.vectors @ vector for vector in vectors)
            found = [monte_carlo(each, samples.starts, KAPPA) for each in products]
        return np.asarray(np.mean(found, axis=0), dtype=np.float32)

    def _add_style(
        self, experts: dict[str, FloatArray], samples: LibrarySamples, style: Style
    ) -> None:
        known = style.of_images(self.query.images)
        if not set(known) & set(samples.identities):
            return
        experts["style"] = aligned(known, samples.identities)
        if samples.same_prompts and "image" not in self.query.weights:
            # an expert that can know nothing would cost half of the answers (docs/results-more.md)
            del experts["image"]
            self._note("Only the look of the images counts. Weigh image=1 to change that.")
        else:
            self._note("The look of the images counts as well as what they show.")

    def _alike(self, samples: LibrarySamples, style: Style | None) -> FloatArray:
        assert self._like is not None
        identity, title = self._like
        near = {} if style is None else style.near(identity)
        if set(near) & set(samples.identities):
            self._note(f"Compared with {title} by how its images look.")
            return aligned(near, samples.identities)
        vectors = self.vectors("like")
        self._note(f"Compared with {title} by what its images show.")
        return self._content(samples, vectors, "like")
