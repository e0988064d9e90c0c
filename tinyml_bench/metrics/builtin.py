"""The metrics that the suite measures of every case: a row each, with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinyml_bench.metrics.tolerance import Tolerance


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured quantity.

    Parameters
    ----------
    name : str
        Key in ``Measurement.facts`` and in baseline files.
    meaning : str
        One line for help texts, with the unit.
    better : {"higher", "lower"}
    form : str
        Format specification of the value in a sentence, such as ``".4f"``.
    gated : bool
        Compared with the baseline; the others are reported only.
    stored : bool
        Written to baseline files. Absolute times are not: they mean nothing elsewhere.
    noisy : bool
        Two runs of the same thing differ, so an update keeps a stored value that still matches.
    needs_same : tuple of str
        Fields of the provenance that must be equal for a comparison to mean anything.
    unit : str
        Of a workload's own metric; empty where it has none, and where the name tells it.
    check : str
        The test of :mod:`tinyml_bench.checks` that asks for it, without ``test_``; empty where it
        is not gated.
    option : str
        The option of pytest without which it is not measured; empty for most.
    tolerance : Tolerance
        What it may lose against its baseline where a project says nothing else.
    may_be_incomparable : bool
        A run may pass without it; it is reported as ``incomparable``.
    about : {"", "classes", "answers", "memory"}
        What its failure is looked for in: right and wrong classes, which not every task has; other
        answers; what is in memory at one moment.
    beside_reference : bool
        It is made of the predictions of the reference too.
    """

    name: str
    meaning: str
    better: str
    form: str
    gated: bool = True
    stored: bool = True
    noisy: bool = False
    needs_same: tuple[str, ...] = ()
    unit: str = ""
    check: str = ""
    option: str = ""
    tolerance: Tolerance = field(default_factory=Tolerance)
    may_be_incomparable: bool = False
    about: str = ""
    beside_reference: bool = False

    @property
    def needs_same_images(self) -> bool:
        """Whether the answers on the test images decide it, and so what runs the model."""
        return "dataset_sha256" in self.needs_same

    def show(self, value: float | None) -> str:
        """Format `value` for a sentence; ``None`` is ``-``."""
        return "-" if value is None else format(value, self.form)


# What a device needs is the same to the byte for the same file, so nothing more is tolerated; but a
# byte less is no improvement to speak of.
_EXACT = Tolerance(notable=0.01)

# The accuracy tolerance is half a point: on 10,000 images, five times what a toolchain upgrade was
# seen to move, and a twentieth of what other gates let pass. The latency ratio's is generous: it
# catches a kernel that fell back to a slow path, not a change of some percent. What may be
# incomparable says little elsewhere, or needs an extra that not everybody installs.
_ALL = (
    Metric("accuracy", "share of right top-1 predictions, in [0, 1]", "higher", ".4f",
           needs_same=("dataset_sha256",),
           about="classes", tolerance=Tolerance(absolute=0.005), check="accuracy"),
    Metric("accuracy_drop", "accuracy of tf less that of the variant, same run", "lower", ".4f",
           needs_same=("dataset_sha256",),
           about="classes", beside_reference=True, tolerance=Tolerance(absolute=0.005),
           check="accuracy"),
    Metric("agreement", "share of images on which variant and tf predict the same class",
           "higher", ".4f", needs_same=("dataset_sha256",),
           about="classes", beside_reference=True, tolerance=Tolerance(absolute=0.005),
           check="accuracy"),
    Metric("balanced_accuracy", "mean recall of the classes, in [0, 1]", "higher", ".4f",
           needs_same=("dataset_sha256",),
           about="classes", tolerance=Tolerance(absolute=0.01), check="classes"),
    Metric("detectable_drop",
           "smallest true drop of accuracy that the gate finds with 95 % power, in [0, 1]", "lower",
           ".4f", gated=False, stored=False),
    Metric("class_recall", "recall of the class that lost most against the baseline", "higher",
           ".4f", stored=False, needs_same=("dataset_sha256",),
           about="classes", tolerance=Tolerance(absolute=0.05), check="classes"),
    Metric("collapse", "accuracy, to be above that of one constant answer", "higher", ".4f",
           stored=False,
           about="classes", check="classes"),
    Metric("distinct_outputs",
           "number of outputs that differ from each other, of a model without classes", "higher",
           ".0f", gated=False, stored=False),
    Metric("confidence_drift",
           "mean Kullback-Leibler divergence from the class probabilities of tf, in nats", "lower",
           ".4f", needs_same=("dataset_sha256",),
           about="classes", beside_reference=True,
           tolerance=Tolerance(absolute=0.01, relative=0.25), may_be_incomparable=True,
           check="accuracy"),
    Metric("structure", "the file is what its variant's name says, operator by operator", "higher",
           ".4f", stored=False, check="structure"),
    Metric("weight_sparsity",
           "share of zeros among the weights of the layer that keeps least of what it should",
           "higher", ".4f", stored=False,
           tolerance=Tolerance(absolute=0.01), check="structure"),
    Metric("weight_clusters",
           "number of different weights of the layer that has most more than it should", "lower",
           ".0f", stored=False, check="structure"),
    Metric("int8_share", "share of the multiply-accumulates computed in int8, in [0, 1]", "higher",
           ".4f", gated=False),
    Metric("activation_bytes",
           "largest sum of activations that exist at one moment of one inference", "lower", ".0f",
           about="memory", tolerance=Tolerance(relative=0.01), check="structure"),
    Metric("arena_bytes", "all memory that TensorFlow Lite Micro takes for the model", "lower",
           ".0f",
           about="memory", tolerance=_EXACT, may_be_incomparable=True, check="micro"),
    Metric("arena_activation_bytes", "the part of it that inference reuses", "lower", ".0f",
           gated=False),
    Metric("arena_persistent_bytes", "the part of it that is kept between inferences", "lower",
           ".0f", gated=False),
    Metric("micro", "the model runs in TensorFlow Lite Micro, with no operator lost", "higher",
           ".0f", stored=False,
           may_be_incomparable=True, check="micro"),
    Metric("npu_cycles", "Vela's estimate of one inference on the Ethos-U, in cycles", "lower",
           ".0f",
           tolerance=_EXACT, may_be_incomparable=True, check="npu"),
    Metric("npu_sram_bytes", "Vela's estimate of the SRAM that the Ethos-U uses", "lower", ".0f",
           about="memory", tolerance=_EXACT, may_be_incomparable=True, check="npu"),
    Metric("npu_flash_bytes", "Vela's estimate of the flash that the Ethos-U reads", "lower",
           ".0f",
           tolerance=_EXACT, may_be_incomparable=True, check="npu"),
    Metric("npu", "operators run on the Ethos-U as they did, none newly on the CPU", "higher",
           ".0f", stored=False,
           may_be_incomparable=True, check="npu"),
    Metric("parity", "kernels that agreed on the same file still agree", "higher", ".0f",
           stored=False,
           may_be_incomparable=True, check="parity"),
    Metric("parity_flips", "images on which any two sets of kernels answer differently", "lower",
           ".0f", gated=False),
    Metric("budget", "flash, memory and cycles are within the budget, or fit the board", "higher",
           ".0f", stored=False, check="budget"),
    Metric("size_bytes", "the model file (for tf: the saved Keras file)", "lower", ".0f",
           tolerance=Tolerance(relative=0.01), check="size"),
    Metric("gzip_bytes", "the model file after gzip -9", "lower", ".0f",
           tolerance=Tolerance(relative=0.02), check="size"),
    Metric("size_reduction", "share saved against the float32 .tflite", "higher", ".4f",
           tolerance=Tolerance(absolute=0.005), check="size"),
    Metric("size_reduction_keras", "share saved against the saved Keras file", "higher", ".4f",
           gated=False),
    Metric("size_reduction_keras_optimizer",
           "share saved against the Keras file with Adam's two slots a weight (the paper's basis)",
           "higher", ".4f", gated=False),
    # Exact, but marked noisy: an update that did not count keeps the stored figure, and so does one
    # in which it still matches, so that many small steps do not add up unseen.
    Metric("instructions", "of one inference, counted by valgrind with litert's XNNPACK kernels",
           "lower", ".0f", noisy=True, needs_same=("cpu",), option="--tinyml-instructions",
           tolerance=Tolerance(relative=0.005), may_be_incomparable=True, check="instructions"),
    Metric("latency_ratio", "one inference / one of the float32 sibling, interleaved",
           "lower", ".3f", noisy=True, needs_same=("cpu", "runtime"),
           tolerance=Tolerance(relative=1.0), may_be_incomparable=True, check="latency"),
    Metric("latency_ratio_low", "lower end of the ratio's 95 % interval in its run", "lower", ".3f",
           gated=False, noisy=True, needs_same=("cpu", "runtime")),
    Metric("latency_ratio_high", "upper end of the ratio's 95 % interval in its run", "lower",
           ".3f", gated=False, noisy=True, needs_same=("cpu", "runtime")),
    Metric("latency_ns", "median of one inference, batch 1, nanoseconds", "lower",
           ".0f", gated=False, stored=False, noisy=True),
    Metric("latency_reference_ns", "the float32 sibling's median in the same rounds", "lower",
           ".0f", gated=False, stored=False, noisy=True),
    Metric("latency_pairs", "number of interleaved pairs timed", "higher", ".0f",
           gated=False, stored=False),
    Metric("split_seconds", "time to classify the whole evaluated split", "lower", ".2f",
           gated=False, stored=False, noisy=True),
    Metric("invoke_share", "share of split_seconds spent inside the interpreter", "higher", ".3f",
           gated=False, stored=False, noisy=True),
    Metric("peak_memory_bytes", "growth of the worker's peak resident memory in evaluation",
           "lower", ".0f", gated=False, stored=False, noisy=True),
)  # fmt: skip


FIXED: dict[str, Metric] = {entry.name: entry for entry in _ALL}
"""What the suite measures of every case; the other metrics are a workload's own."""


def metrics_of_check(check: str) -> tuple[str, ...]:
    """Return the metrics that a test of the suite asks for, its namesake first.

    Examples
    --------
    >>> metrics_of_check("micro")
    ('micro', 'arena_bytes')
    """
    names = [metric.name for metric in _ALL if metric.check == check]
    return tuple(sorted(names, key=lambda name: name != check))
