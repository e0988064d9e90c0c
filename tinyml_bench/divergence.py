"""How far class probabilities drifted from the reference's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_divergence(reference: NDArray[np.float32], scores: NDArray[np.float32]) -> float:
    """Return the mean Kullback-Leibler divergence of class probabilities from the reference's.

    Parameters
    ----------
    reference, scores : ndarray, (n, classes) float32
        Outputs of the reference and of the variant. Rows that are no probabilities (negative, or
        not of sum 1 within a tenth) are taken for logits.

    Returns
    -------
    float
        In nats, at least 0. Probabilities are floored at 1/1024: an integer output cannot tell
        smaller ones apart, and an unbounded logarithm would let a single image decide.
    """
    p, q = _probabilities(reference), _probabilities(scores)
    return float(max(0.0, (p * np.log(p / q)).sum(axis=1).mean()))


def _probabilities(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    values = scores.astype(np.float64)
    sums = values.sum(axis=1)
    if (values < 0).any() or (np.abs(sums - 1) > 0.1).any():
        values = np.exp(values - values.max(axis=1, keepdims=True))
    values = np.maximum(values, 1 / 1024)
    return np.asarray(values / values.sum(axis=1, keepdims=True))
