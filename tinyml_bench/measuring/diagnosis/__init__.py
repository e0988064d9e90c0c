"""Which layers of a quantized model to look at when it is not as good as the float model."""

from __future__ import annotations

from tinyml_bench.measuring.diagnosis.comparison import MOST_IMAGES, diagnose, suspects
from tinyml_bench.measuring.diagnosis.records import Diagnosis, Suspect, evidence

__all__ = ["MOST_IMAGES", "Diagnosis", "Suspect", "diagnose", "evidence", "suspects"]
