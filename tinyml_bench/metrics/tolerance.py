"""How much worse than its baseline a figure may get."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from tinyml_bench.errors import UsageError

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
