"""Layers to look at, as records, and the lines that describe them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

# A fault is certain and noise a hint. But where an input is calibrated to next to nothing the
# converter zeroes weights to make biases fit: there the input is the cause and loses more.
_FAULT_DB: Final = 20.0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A layer to look at.

    Parameters
    ----------
    layer : str
        Name of the Keras layer; where none of the layers is in the tensor's name, what that says.
    tensor : str
        Name in the quantized file of what the layer gives.
    operator : str
        TensorFlow Lite's name; ``"INPUT"`` for what the model is fed.
    snr_db : float
        Signal-to-noise ratio of that tensor against the float model's, in dB within [-100, 100].
        100: no difference. -100: not finite where the float model's is, or nothing but noise.
    drop_db : float
        How much of it was lost in this layer, at least 0: its inputs' lowest ratio less its own,
        both first cut to [-10, 40], beyond which nothing is gained or left to lose.
    calibrated : tuple of float or None
        Lowest and highest value that the tensor can hold; ``None`` where it is a float tensor.
    seen : tuple of float
        Lowest and highest value of the float model's tensor on the images.
    clipped_share : float
        Share of the float model's values beyond the calibrated range, in [0, 1].
    fault : str
        What is wrong with the layer itself, whatever goes into it: other weights, a range that
        alone loses most of the float model's values; empty where nothing is.
    """

    layer: str
    tensor: str
    operator: str
    snr_db: float
    drop_db: float
    calibrated: tuple[float, float] | None
    seen: tuple[float, float]
    clipped_share: float
    fault: str = ""

    @property
    def rank_db(self) -> float:
        """What is looked at first is larger: what is lost, and more where weights are at fault."""
        return self.drop_db + (_FAULT_DB if self.fault else 0.0)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What comparing two files layer by layer found.

    Parameters
    ----------
    suspects : tuple of Suspect
        Worst first.
    reason : str
        Why there are none; empty where there are.
    """

    suspects: tuple[Suspect, ...]
    reason: str = ""


def evidence(found: Iterable[Suspect]) -> tuple[str, ...]:
    """Describe each suspect in one line.

    Examples
    --------
    >>> conv = Suspect("conv3", "conv3/Relu", "CONV_2D", 4.1, 11.2, (0, 0.12), (-0.2, 31.8), 0.83)
    >>> evidence([conv])[0]
    'layer conv3: 4.1 dB (11.2 dB lost there), saw [-0.2, 31.8], calibrated for [0, 0.12], 83 % clipped'
    """  # noqa: E501 - the line is what is shown
    return tuple(", ".join(_phrases(one)) for one in found)


def _phrases(suspect: Suspect) -> Iterator[str]:
    ratio = f"{suspect.snr_db:.1f} dB ({suspect.drop_db:.1f} dB lost there)"
    yield f"layer {suspect.layer}: {suspect.fault + '; ' if suspect.fault else ''}{ratio}"
    yield f"saw {_span(suspect.seen)}"
    if suspect.calibrated is not None:
        yield f"calibrated for {_span(suspect.calibrated)}"
        yield f"{100 * suspect.clipped_share:.0f} % clipped"


def _span(limits: tuple[float, float]) -> str:
    return f"[{limits[0]:.3g}, {limits[1]:.3g}]"
