"""The difference between two environments on one case."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from tinyml_bench.comparing.versions.environment_worker import Converted
from tinyml_bench.comparing.versions.graph_changes import (
    GraphChange,
    graph_changes,
    in_words,
    stored_changes,
)
from tinyml_bench.judging.paired_predictions import Discordance, discordance
from tinyml_bench.metrics import significance
from tinyml_bench.metrics.bootstrap import RatioEstimate
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.predictions import Predictions

ALPHA: Final = 0.05
"""Level of the paired test above which a difference of accuracy may be chance."""

# Beyond which a ratio of times is worth a word; environments differ in more than their kernels.
_FASTER, _SLOWER = 0.9, 1.1


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Correct predictions of both environments on the same images.

    Parameters
    ----------
    old, new : float
        In [0, 1].
    lost, won : int
        Images that only the old, or only the new one, gets right.
    flipped : int
        Images that the two answer differently.
    samples : int
    """

    old: float
    new: float
    lost: int
    won: int
    flipped: int
    samples: int

    @classmethod
    def of(cls, old: Predictions, new: Predictions) -> Accuracy:
        """Compare predictions on the same images."""
        discordant = discordance("accuracy", old, new)
        assert isinstance(discordant, Discordance)  # noqa: S101 - accuracy needs no reference
        return cls(
            old.accuracy,
            new.accuracy,
            len(discordant.lost),
            len(discordant.won),
            len(old.flips(new)),
            old.samples,
        )

    @property
    def p(self) -> float:
        """Two-sided exact p-value of "the accuracies differ"; see :func:`stats.mcnemar_p`."""
        one_sided = min(
            significance.mcnemar_p(self.lost, self.won), significance.mcnemar_p(self.won, self.lost)
        )
        return min(1.0, 2 * one_sided)


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of one case in two environments.

    Parameters
    ----------
    case : CaseId
    old_bytes, new_bytes : int
        Of the ``.tflite`` files; 0 for the network itself.
    same_file : bool
        The two are the same to the byte.
    changes : tuple of GraphChange
    stored : mapping of str to tuple of int
        Stored type to its bytes before and after, where they differ.
    accuracy : Accuracy
    speed : RatioEstimate or None
        Time in the new environment / time in the old one; ``None`` where it was not timed.
    new_warnings, gone_warnings : tuple of str
        What only the new, or only the old converter warned of.
    untimed : str
        Why there is no speed.
    remarks : tuple of str
        What else was noticed.
    """

    case: CaseId
    old_bytes: int
    new_bytes: int
    same_file: bool
    changes: tuple[GraphChange, ...]
    stored: dict[str, tuple[int, int]]
    accuracy: Accuracy
    speed: RatioEstimate | None
    new_warnings: tuple[str, ...]
    gone_warnings: tuple[str, ...]
    untimed: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def is_dull(self) -> bool:
        """Whether nothing differs but the size of the file, and no change of speed is shown."""
        same = not (self.changes or self.accuracy.flipped or self.new_warnings or self.remarks)
        timed = not self.untimed or self.speed is not None
        return same and timed and not of_speed(self.speed).startswith(("runs", "takes"))

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        accuracy = {**asdict(self.accuracy), "p": self.accuracy.p}
        plain = asdict(self) | {"case": str(self.case), "accuracy": accuracy}
        return plain | {"sentence": self.sentence()}

    def sentence(self) -> str:
        """Return the difference as a sentence."""
        parts = [_of_file(self), _of_answers(self.accuracy), of_speed(self.speed)]
        text = "; ".join(part for part in parts if part)
        return f"{text[0].upper()}{text[1:]}."


def difference(
    case: CaseId,
    converted: tuple[Converted, Converted],
    answered: tuple[Predictions, Predictions],
    speed: RatioEstimate | None = None,
    untimed: str = "",
) -> Difference:
    """Compare a case's conversions and predictions in two environments, the old one first."""
    old, new = converted
    both = old.structure is not None and new.structure is not None
    return Difference(
        case=case,
        old_bytes=len(old.content),
        new_bytes=len(new.content),
        same_file=old.content == new.content,
        changes=graph_changes(old.structure, new.structure) if both else (),  # type: ignore[arg-type] # both are there
        stored=stored_changes(old.structure, new.structure) if both else {},  # type: ignore[arg-type] # as above
        accuracy=Accuracy.of(*answered),
        speed=speed,
        new_warnings=tuple(line for line in new.warnings if line not in old.warnings),
        gone_warnings=tuple(line for line in old.warnings if line not in new.warnings),
        untimed=untimed,
    )


def of_speed(speed: RatioEstimate | None) -> str:
    """Describe a ratio of times; empty where there is none.

    Examples
    --------
    >>> of_speed(RatioEstimate(0.33, 0.32, 0.34, 0.95, 40, 0))
    'runs 3.0 times as fast'
    >>> of_speed(RatioEstimate(1.02, 0.97, 1.06, 0.95, 40, 0))
    'no difference in speed to speak of'
    """
    if speed is None:
        return ""
    if speed.high < _FASTER:
        return f"runs {1 / speed.ratio:.1f} times as fast"
    if speed.low > _SLOWER:
        return f"takes {speed.ratio:.1f} times as long"
    if speed.low >= _FASTER and speed.high <= _SLOWER:
        return "no difference in speed to speak of"
    return "its speed cannot be told apart with certainty"


def share_larger(old: int, new: int) -> str:
    """Describe how much larger `new` bytes are.

    Examples
    --------
    >>> share_larger(1000, 1014), share_larger(1000, 999), share_larger(1000, 1000)
    ('1.4 % larger', '0.1 % smaller', 'of the same size')
    """
    if old == new:
        return "of the same size"
    percent = 100 * abs(new - old) / old
    digits = f"{percent:.1f}" if percent >= 0.1 else f"{percent:.2g}"
    return f"{digits} % {'larger' if new > old else 'smaller'}"


def _of_file(one: Difference) -> str:
    if not one.old_bytes and not one.new_bytes:
        return ""
    if one.same_file:
        return "the file is the same to the byte"
    size = f"the file is {share_larger(one.old_bytes, one.new_bytes)}"
    if not one.changes:
        return f"{size}, with the same operators in it"
    return f"{size}: {', '.join(map(in_words, one.changes))}"


def _of_answers(accuracy: Accuracy) -> str:
    if not accuracy.flipped:
        return f"all {accuracy.samples:,} images are answered alike"
    flips = f"{accuracy.flipped:,} of {accuracy.samples:,} images are answered differently"
    if accuracy.p >= ALPHA:
        return f"{flips}, the accuracy is no other than chance may make it"
    way = "better" if accuracy.won > accuracy.lost else "worse"
    return f"{flips}, the accuracy is {way} by {100 * abs(accuracy.new - accuracy.old):.2f} points"
