"""Metrics of amounts: mean squared and absolute error, and R2.

An autoencoder has no amounts for labels: where there are none, or they only mark anomalies, its
output is compared with its input, and anomalies, which it is not to give back, do not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.metrics.quality import (
    Contributions,
    Quality,
    Sums,
    Totals,
    mean_of_known,
    quotient,
)
from tinyml_bench.metrics.tolerance import Tolerance

# Of each output its labels are stored as well, for as long as that is little.
_MOST_OUTPUTS = 16


def _errors(outputs: Any, labels: Any, inputs: Any) -> tuple[NDArray[np.float64], ...]:
    """Return errors and true amounts, each ``(n, d) float64``."""
    predicted = np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs, np.float64)
    true = _truth(predicted, labels, inputs)
    if true is None:
        raise ModelFileError("labels: expected the true amounts, got none")
    if len(true) != len(predicted) or true.size != predicted.size:
        raise ModelFileError(
            f"labels: shape {true.shape} does not fit the model's output {predicted.shape}; "
            f"expected one amount for each"
        )
    samples = len(predicted)
    true = true.reshape(samples, -1)
    return predicted.reshape(samples, -1) - true, true


def _truth(predicted: NDArray[Any], labels: Any, inputs: Any) -> NDArray[np.float64] | None:
    """Return the true amounts: an autoencoder's are what it was fed."""
    fed = np.asarray(inputs[0] if isinstance(inputs, tuple) else inputs)
    if fed.size == predicted.size and (_none(labels) or _marks(predicted, labels)):
        return fed.astype(np.float64)
    return None if _none(labels) else np.asarray(labels, np.float64)


def _none(labels: Any) -> bool:
    return labels is None or not np.size(labels)


def _marks(predicted: NDArray[Any], labels: Any) -> bool:
    """Tell whether labels are no amounts but say which samples are anomalies."""
    array = np.asarray(labels)
    whole = array.ndim == 1 and array.dtype.kind in "iub" and array.size < predicted.size
    return whole and bool(np.isin(array, (0, 1)).all())


def _of_healthy(errors: NDArray[np.float64], labels: Any) -> NDArray[np.float64]:
    """Return each sample's error; where anomalies are marked, theirs as 0, and who counts."""
    each: NDArray[np.float64] = errors.mean(axis=1)
    if _none(labels) or not _marks(errors, labels):
        return each
    counts = np.asarray(labels) == 0
    return np.stack([each * counts, counts], axis=1)


def _squared(outputs: Any, labels: Any, inputs: Any) -> NDArray[np.float64]:
    return _of_healthy(_errors(outputs, labels, inputs)[0] ** 2, labels)


def _absolute(outputs: Any, labels: Any, inputs: Any) -> NDArray[np.float64]:
    return _of_healthy(np.abs(_errors(outputs, labels, inputs)[0]), labels)


def _with_counts(contributions: Contributions) -> Totals:
    first = contributions[:, 0].astype(np.float64)
    counts = contributions[:, 1] if contributions.shape[1] > 1 else np.ones_like(first)
    return np.stack([first, counts], axis=1)


def _average(totals: Totals) -> Totals:
    return quotient(totals[..., 0], totals[..., 1])


def _squared_and_true(outputs: Any, labels: Any, inputs: Any) -> NDArray[np.float64]:
    errors, true = _errors(outputs, labels, inputs)
    if errors.shape[1] > _MOST_OUTPUTS:
        raise ModelFileError(
            f"metric 'r2': {errors.shape[1]} outputs are more than the {_MOST_OUTPUTS} that it is "
            f"meant for; use 'mse'"
        )
    return np.concatenate([errors**2, true], axis=1)


def _moments(contributions: Contributions) -> Totals:
    squares, true = np.split(contributions.astype(np.float64), 2, axis=1)
    # About their mean, or their squares would drown what varies.
    true = true - true.mean(axis=0)
    return np.concatenate([squares, true, true**2, np.ones_like(true)], axis=1)


def _determination(totals: Totals) -> Totals:
    squares, true, true_squares, count = np.split(totals, 4, axis=-1)
    spread = true_squares - quotient(true**2, count)
    return mean_of_known(1 - quotient(squares, np.where(spread > 1e-12 * count, spread, 0.0)))


MSE = Quality(
    "mse", "mean squared error, in the label's unit squared; an autoencoder's against its input",
    "lower", "", ".6g", "bootstrap", _squared, Sums(_with_counts, _average),
    Tolerance(relative=0.05),
)  # fmt: skip
MAE = Quality(
    "mae", "mean absolute error, in the label's unit; an autoencoder's against its input",
    "lower", "", ".6g", "bootstrap", _absolute, Sums(_with_counts, _average),
    Tolerance(relative=0.02),
)  # fmt: skip
R2 = Quality(
    "r2", "share of the labels' variance that is explained; of several outputs the mean", "higher",
    "", ".4f", "bootstrap", _squared_and_true, Sums(_moments, _determination),
    Tolerance(absolute=0.005),
)  # fmt: skip
