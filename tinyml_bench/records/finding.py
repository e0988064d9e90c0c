"""The verdict on one metric of one case, with its evidence."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(str, enum.Enum):
    """What judging one metric of one case came to."""

    MATCHED = "matched"
    REGRESSED = "regressed"
    IMPROVED = "improved"
    MISSING = "missing"
    UNUSED = "unused"
    INCOMPARABLE = "incomparable"
    CRASHED = "crashed"
    INCONCLUSIVE = "inconclusive"
    NONDETERMINISTIC = "nondeterministic"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one metric of one case, with its evidence.

    Parameters
    ----------
    case : str
        The case id; for an unused baseline, whatever its file is called.
    metric : str
        A metric's name, or ``"case"`` where the finding is about the whole case.
    verdict : Verdict
    fails : bool
        The build must fail for it.
    baseline, current, limit : float or None
        Stored value, new value, and the worst value that would still have passed.
    reason : str
        Why, where the numbers alone do not say it.
    evidence : tuple of str
        Further lines for whoever looks into it.
    advice : str
        The next command to run.
    flipped : tuple of int
        Positions, in the evaluation order, of the images that tell against the case.
    layer : str
        The layer to look at first; empty where none can be named.
    overlay : str
        What was expected instead of the baseline's value, why and since when: a known difference of
        the toolchain; empty where the baseline itself was expected.
    """

    case: str
    metric: str
    verdict: Verdict
    fails: bool
    baseline: float | None = None
    current: float | None = None
    limit: float | None = None
    reason: str = ""
    evidence: tuple[str, ...] = ()
    advice: str = ""
    flipped: tuple[int, ...] = ()
    layer: str = ""
    overlay: str = ""
