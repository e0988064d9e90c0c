"""How much worse than its baseline a metric may get: the defaults, and reading a project's own."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.catalogue import METRICS

_PERCENT = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]+)?)\s*%\s*")
# Asked of an integer before it becomes a float: TOML may hold one that no float can.
_MOST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much worse than its baseline a metric may get.

    Parameters
    ----------
    absolute : float
        In the metric's own unit.
    relative : float
        Share of the baseline's value.
    notable : float
        Share of the baseline's value below which a gain is not worth a word, however small what is
        tolerated is.

    Examples
    --------
    >>> Tolerance(absolute=0.005).limit(0.9231, better="higher")
    0.9181
    >>> Tolerance(relative=0.01).limit(200_000, better="lower")
    202000.0
    """

    absolute: float = 0.0
    relative: float = 0.0
    notable: float = 0.0

    def limit(self, baseline: float, better: str) -> float:
        """Return the worst value that still passes; `better` is ``"higher"`` or ``"lower"``."""
        return self._shifted(baseline, -1 if better == "higher" else 1, self.relative)

    def gain(self, baseline: float, better: str) -> float:
        """Return the value beyond which a change for the better is worth a word."""
        if better == "higher":
            return self._shifted(baseline, 1, max(self.relative, self.notable))
        # What may double is better by as much where it halves; it can never lose all of itself.
        share = self.relative / (1 + self.relative)
        return self._shifted(baseline, -1, max(share, self.notable))

    def _shifted(self, baseline: float, sign: int, relative: float) -> float:
        # Rounded, so that a difference of exactly the tolerance passes in floating point too.
        return round(baseline + sign * (self.absolute + relative * abs(baseline)), 9)

    @classmethod
    def parse(cls, name: str, value: object) -> Tolerance:
        """Read a number (absolute) or a text such as ``"2%"`` (share of the baseline).

        Raises
        ------
        UsageError
            It is neither, negative, or not finite.

        Examples
        --------
        >>> Tolerance.parse("size_bytes", "2%")
        Tolerance(absolute=0.0, relative=0.02, notable=0.0)
        """
        if isinstance(value, str) and (match := _PERCENT.fullmatch(value)):
            return cls(relative=float(match[1]) / 100)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST:
            return cls(absolute=float(value))
        raise UsageError(
            f"tolerance of {name!r} is {value!r}; expected a number of at least 0, in the "
            f'metric\'s unit, or a share of the baseline such as "2%"'
        )


# What a device needs is the same to the byte for the same file, so nothing more is tolerated; but a
# byte less is no improvement to speak of.
_NOTABLE = 0.01
# The accuracy tolerance is half a point: on 10,000 images, five times what a toolchain upgrade was
# seen to move, and a twentieth of what other gates let pass. The latency ratio's is generous: it
# catches a kernel that fell back to a slow path, not a change of some percent.
_DEFAULTS = {
    "accuracy": Tolerance(absolute=0.005),
    "accuracy_drop": Tolerance(absolute=0.005),
    "agreement": Tolerance(absolute=0.005),
    "size_bytes": Tolerance(relative=0.01),
    "gzip_bytes": Tolerance(relative=0.02),
    "size_reduction": Tolerance(absolute=0.005),
    "balanced_accuracy": Tolerance(absolute=0.01),
    "class_recall": Tolerance(absolute=0.05),
    "collapse": Tolerance(),
    "confidence_drift": Tolerance(absolute=0.01, relative=0.25),
    "structure": Tolerance(),
    "weight_sparsity": Tolerance(absolute=0.01),
    "weight_clusters": Tolerance(),
    "activation_bytes": Tolerance(relative=0.01),
    "latency_ratio": Tolerance(relative=1.0),
    "instructions": Tolerance(relative=0.005),
    "arena_bytes": Tolerance(notable=_NOTABLE),
    "npu_cycles": Tolerance(notable=_NOTABLE),
    "npu_sram_bytes": Tolerance(notable=_NOTABLE),
    "npu_flash_bytes": Tolerance(notable=_NOTABLE),
    "micro": Tolerance(),
    "npu": Tolerance(),
    "parity": Tolerance(),
    "budget": Tolerance(),
}
# Of a workload's own metrics. In figures from 0 to 1 it is what accuracy and balanced accuracy may
# lose; of amounts, whose unit nobody knows here, a share.
_OWN = {
    "macro_f1": Tolerance(absolute=0.01),
    "roc_auc": Tolerance(absolute=0.005),
    "anomaly_auc": Tolerance(absolute=0.005),
    "mse": Tolerance(relative=0.05),
    "mae": Tolerance(relative=0.02),
    "r2": Tolerance(absolute=0.005),
    "iou": Tolerance(absolute=0.005),
}
_OF_TOP_K = Tolerance(absolute=0.005)
_OF_A_USERS = Tolerance(relative=0.02)


def gated() -> list[str]:
    """Name every metric that is compared with a baseline, those of registered qualities too."""
    return [name for name, metric in METRICS.items() if metric.gated]
