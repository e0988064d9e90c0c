"""Nothing is planted: whatever a gate says here is a false alarm."""

from __future__ import annotations

from trust.answers import PASSED, Answer
from trust.catalogue import plant
from trust.scene import Stage, int8

FAMILY = "nothing"
COMPRESSED = (
    "pruned50_float32",
    "pruned80_float32",
    "pruned80_experimental_sparsity",
    "pruned2x4_float32",
    "clustered16_float32",
    "qat_int8",
    "pqat_int8",
    "cqat_int8",
)


@plant("the same measurement", FAMILY, gate="", verdict=PASSED)
def same(stage: Stage) -> list[Answer]:
    """A case is judged against the baseline that was made of it."""
    return stage.judge(stage.healthy().measurement)


@plant("converted and evaluated twice", FAMILY, gate="", verdict=PASSED)
def twice(stage: Stage) -> list[Answer]:
    """The same variant is converted and evaluated a second time, in whichever worker is free."""
    return stage.convert(int8)


@plant("compressed as claimed", FAMILY, gate="", verdict=PASSED)
def compressed(stage: Stage) -> list[Answer]:
    """Each compressed network is converted, and judged by its claim and against itself."""
    return [
        answer for name in COMPRESSED for answer in stage.judge(stage.healthy(name).measurement)
    ]


@plant("file written anew", FAMILY, gate="", verdict=PASSED)
def rewritten(stage: Stage) -> list[Answer]:
    """The file is read into objects and written again, which moves every byte of it."""
    return stage.edit(_rewritten)


def _rewritten(content: bytes) -> bytes:
    from trust.surgery import changed

    return changed(content, lambda _: None)


@plant("half of the images", FAMILY, gate="", verdict=PASSED)
def half(stage: Stage) -> list[Answer]:
    """Half of the test images are evaluated; the baseline holds all."""
    from dataclasses import replace

    measured = stage.healthy().measurement
    assert measured.predictions is not None
    few = measured.predictions.prefix(measured.predictions.samples // 2)
    facts = {**measured.facts, "accuracy": few.accuracy, "balanced_accuracy": few.balanced_accuracy}
    told = {k: v for k, v in facts.items() if k not in ("accuracy_drop", "agreement")}
    return [
        answer
        for answer in stage.judge(replace(measured, predictions=few, facts=told))
        if answer.verdict != "incomparable"
    ]
