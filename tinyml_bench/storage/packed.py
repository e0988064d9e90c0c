"""Predictions and contributions as a file holds them: their sizes, and compressed text."""

from __future__ import annotations

from dataclasses import dataclass

from tinyml_bench.metrics.quality import Contributions
from tinyml_bench.records.predictions import Predictions, pack, pack_rows, unpack, unpack_rows
from tinyml_bench.system.codec import converted, record


@dataclass(frozen=True, slots=True)
class PackedPredictions:
    """Predictions in a file.

    Parameters
    ----------
    samples : int
        Number of images.
    predicted, labels : str
        As :func:`~tinyml_bench.records.predictions.pack` gives them.
    """

    samples: int
    predicted: str
    labels: str

    @classmethod
    def of(cls, predictions: Predictions) -> PackedPredictions:
        """Pack them."""
        return cls(predictions.samples, pack(predictions.predicted), pack(predictions.labels))

    def unpacked(self) -> Predictions:
        """Return the predictions.

        Raises
        ------
        ValueError
            They are damaged, or not as many as stated.
        """
        return Predictions(unpack(self.predicted, self.samples), unpack(self.labels, self.samples))


@dataclass(frozen=True, slots=True)
class PackedRows:
    """What each sample contributes to a metric, in a file.

    Parameters
    ----------
    samples, columns : int
        Of the table of contributions.
    values : str
        As :func:`~tinyml_bench.records.predictions.pack_rows` gives them.
    """

    samples: int
    columns: int
    values: str

    @classmethod
    def of(cls, rows: Contributions) -> PackedRows:
        """Pack them."""
        return cls(len(rows), rows.shape[1], pack_rows(rows))

    def unpacked(self) -> Contributions:
        """Return the contributions, ``(samples, columns) float32``.

        Raises
        ------
        ValueError
            They are damaged, none, or not as many as stated.
        """
        if self.samples < 1 or self.columns < 1:
            raise ValueError(f"holds {self.samples} samples of {self.columns} numbers")
        return unpack_rows(self.values, self.samples, self.columns)


PREDICTIONS = converted(record(PackedPredictions), PackedPredictions.unpacked, PackedPredictions.of)
ROWS = converted(record(PackedRows), PackedRows.unpacked, PackedRows.of)
