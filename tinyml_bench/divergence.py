"""How far class probabilities drifted from the reference's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# An integer output cannot tell smaller probabilities apart.
_FLOOR = 1 / 1024


def mean_divergence(reference: NDArray[np.float32], scores: NDArray[np.float32]) -> float:
    """Return the mean Kullback-Leibler divergence of class probabilities from the reference's.

    Parameters
    ----------
    reference, scores : ndarray, (n, classes) float32
        Outputs of the reference and of the variant. Where a row of the reference's is no
        probabilities (negative, or not of sum 1 within a tenth) both are taken for logits.

    Returns
    -------
    float
        In nats, at least 0. Probabilities are floored at 1/1024: an integer output cannot tell
        smaller ones apart, and an unbounded logarithm would let a single image decide. Where the
        reference gives probabilities and the variant does not, by a number below 0 or a sum above
        1, an image counts log(1024), the largest divergence that the floor leaves: its softmax is
        lost, and what the numbers would be after one is not what a device reads.
    """
    logits = bool((reference < 0).any() or (np.abs(reference.sum(axis=1) - 1) > 0.1).any())
    p, q = _probabilities(reference, logits), _probabilities(scores, logits)
    each = (p * np.log(p / q)).sum(axis=1)
    if not logits:
        # A sum below 1 is what rounding leaves of many small probabilities.
        each[(scores < 0).any(axis=1) | (scores.sum(axis=1) > 1.1)] = -np.log(_FLOOR)
    return float(max(0.0, each.mean()))


def _probabilities(scores: NDArray[np.float32], logits: bool) -> NDArray[np.float64]:
    values = scores.astype(np.float64)
    if logits:
        values = np.exp(values - values.max(axis=1, keepdims=True))
    values = np.maximum(values, _FLOOR)
    return np.asarray(values / values.sum(axis=1, keepdims=True))
