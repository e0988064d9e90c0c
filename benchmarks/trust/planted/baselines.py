"""Faults in what is stored, and in whether it may be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tinyml_bench.judging import findings
from tinyml_bench.judging.judge import judge_case
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.predictions import pack
from tinyml_bench.storage import baselines
from tinyml_bench.storage.baselines import overlays
from trust.answers import Answer, judged, refused
from trust.catalogue import plant
from trust.scene import Edited, Stage

FAMILY = "baselines"


def _damaged(name: str, words: str, planted: str) -> Callable[..., object]:
    """Register a change of a baseline file's text that makes it unsound."""
    where = "baselines/int8.json"

    def register(change: Callable[[str], str]) -> Callable[[str], str]:
        def probe(stage: Stage) -> list[Answer]:
            case = stage.case("int8")
            text = change(baselines.render(stage.healthy().baseline))
            return refused("baselines", lambda: baselines.parse(text, case, where))

        probe.__doc__ = planted
        plant(name, FAMILY, gate="baselines", verdict="refused",
              words=rf"BaselineError: {where}, line \d+: .*({words})")(probe)  # fmt: skip
        return change

    return register


@_damaged("merge conflict", "merge conflict", "A merge left its marks in the file.")
def _conflict(text: str) -> str:
    return text.replace(' "facts"', '<<<<<<< ours\n "facts"', 1)


@_damaged("hand-edited accuracy", "edited by hand", "The accuracy was set to what one wishes.")
def _wished(text: str) -> str:
    return re.sub(r'"accuracy": 0\.\d+', '"accuracy": 0.5', text, count=1)


@_damaged("hand-edited predictions", "'predicted' is damaged|'predicted' holds",
          "One letter of the packed predictions was changed.")  # fmt: skip
def _edited(text: str) -> str:
    at = text.index('"predicted": "') + 200
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


@_damaged("missing key", "lacks 'runtime'", "The runtime is not stated.")
def _missing(text: str) -> str:
    return re.sub(r' *"runtime": "[^"]*",\n', "", text, count=1)


@_damaged("newer version", "has format 99, this tinyml-bench reads 1",
          "The file was written by a later version of tinyml-bench.")  # fmt: skip
def _newer(text: str) -> str:
    return re.sub(r'"format": \d+', '"format": 99', text, count=1)


@_damaged("not a number stored", "NaN, which is no measured value", "A figure is NaN.")
def _not_a_number(text: str) -> str:
    return re.sub(r'"size_bytes": \d+', '"size_bytes": NaN', text, count=1)


@_damaged("key twice", "'size_bytes' twice", "A figure is given twice, with two values.")
def _twice(text: str) -> str:
    return re.sub(r'("size_bytes": )(\d+,)', r"\1\2 \g<1>1,", text, count=1)


@_damaged("baseline of another case", "holds case '.*float32', expected", "A file was copied.")
def _copied(text: str) -> str:
    return text.replace("-int8", "-float32", 1)


@_damaged("cut off", "not JSON", "The second half of the file is missing.")
def _cut(text: str) -> str:
    return text[: len(text) // 2]


@_damaged("unknown figure", "unknown fact 'acuracy'", "A figure's name is misspelt.")
def _unknown(text: str) -> str:
    return text.replace('"accuracy"', '"acuracy"', 1)


@plant("hand-edited figure", FAMILY, gate="size_bytes", words=r"size_bytes: \d+ -> \d+, limit \d+")
def smaller(stage: Stage) -> list[Answer]:
    """The stored size was set 10 % smaller; the measured one no longer fits."""
    healthy = stage.healthy()
    facts = {**healthy.baseline.facts, "size_bytes": 0.9 * healthy.baseline.facts["size_bytes"]}
    return stage.judge(healthy.measurement, replace(healthy.baseline, facts=facts))


@plant("no baseline", FAMILY, gate="case", verdict="missing", words="no baseline is stored")
def absent(stage: Stage) -> list[Answer]:
    """The file is not there."""
    return judged(judge_case(stage.healthy().measurement, None, stage.policy))


@plant(
    "figure missing",
    FAMILY,
    gate="size_bytes",
    verdict="missing",
    words="the baseline has no such figure",
)
def figure_missing(stage: Stage) -> list[Answer]:
    """The file lacks one of the figures."""
    healthy = stage.healthy()
    facts = {k: v for k, v in healthy.baseline.facts.items() if k != "size_bytes"}
    return stage.judge(healthy.measurement, replace(healthy.baseline, facts=facts))


@plant(
    "unused baseline", FAMILY, gate="case", verdict="unused", words="belongs to no registered case"
)
def unused(stage: Stage) -> list[Answer]:
    """The file belongs to a case that nobody registers any more."""
    folder = stage.scratch()
    (folder / "toy-gone").mkdir()
    (folder / "toy-gone" / "int8.json").write_text(json.dumps({}))
    paths = baselines.strangers(folder, {str(stage.case("int8"))})
    return judged(findings.unused("toy-gone-int8", path.name) for path in paths)


@plant("baseline of another dataset", FAMILY, gate="accuracy", verdict="incomparable",
       words="images or labels are not those of the baseline")  # fmt: skip
def other_dataset(stage: Stage) -> list[Answer]:
    """The baseline was measured on other images, with the same figures by chance."""
    return _stored_elsewhere(stage, dataset_sha256="of other images")


@plant("baseline of fewer images", FAMILY, gate="accuracy", verdict="incomparable",
       words="the baseline holds 600 images, fewer than")  # fmt: skip
def fewer(stage: Stage) -> list[Answer]:
    """The baseline was stored from a run of the first 600 images."""
    healthy = stage.healthy()
    few = replace(healthy.baseline, predictions=healthy.baseline.predictions.prefix(600))
    return stage.judge(healthy.measurement, few)


@plant("stale baseline", FAMILY, gate="accuracy", words=r"accuracy: 0\.\d+ -> 0\.\d+, limit")
def stale(stage: Stage) -> list[Answer]:
    """The baseline is of weights that were better by two points: it is not of this checkpoint."""
    healthy = stage.healthy()
    stored = healthy.baseline.predictions
    predicted = stored.predicted.copy()
    wrong = np.flatnonzero(~stored.correct)[: stored.samples // 50]
    predicted[wrong] = stored.labels[wrong]
    better = replace(stored, predicted=predicted)
    assert len(pack(better.predicted)) > 0
    facts = {**healthy.baseline.facts, "accuracy": better.accuracy}
    return stage.judge(
        healthy.measurement, replace(healthy.baseline, predictions=better, facts=facts)
    )


@plant("baseline of another processor", FAMILY, gate="latency_ratio", verdict="incomparable",
       words="latency_ratio: incomparable, .* measured on another processor")  # fmt: skip
def other_processor(stage: Stage) -> list[Answer]:
    """Latency was stored on another processor; it does not count as passed."""
    healthy = stage.healthy()
    provenance = replace(healthy.baseline.provenance, cpu="another")
    stored = replace(
        healthy.baseline,
        provenance=provenance,
        facts={**healthy.baseline.facts, "latency_ratio": 0.5},
    )
    measured = _timed(healthy.measurement, 0.5)
    found = [f for f in stage.findings(measured, stored) if f.metric == "latency_ratio"]
    return judged(
        replace(finding, fails=True) for finding in found if str(finding.verdict) != "matched"
    )


@plant("drop on too few images", FAMILY, gate="accuracy", verdict="inconclusive",
       words="images would settle it")  # fmt: skip
def too_few(stage: Stage) -> list[Answer]:
    """Three of 200 images are lost: an effect, and no evidence."""
    healthy = stage.healthy()
    few = healthy.baseline.predictions.prefix(200)
    predicted = few.predicted.copy()
    right = np.flatnonzero(few.correct)[:3]
    predicted[right] = (few.labels[right] + 1) % (few.labels.max() + 1)
    worse = replace(few, predicted=predicted)
    facts = {**healthy.measurement.facts, "accuracy": worse.accuracy}
    return stage.judge(replace(healthy.measurement, predictions=worse, facts=facts))


@plant("needless overlay", FAMILY, gate="size_bytes", verdict="unused",
       words="size_bytes: .*overlays.toml.* no longer applies, .*, remove me")  # fmt: skip
def needless(stage: Stage) -> list[Answer]:
    """An overlay expects a file 5 % larger, and the file is as the baseline has it."""
    return _overlaid(stage, stage.healthy().measurement, ">=2")


@plant("overlay of another version", FAMILY, gate="size_bytes",
       words=r"size_bytes: \d+ -> \d+, limit \d+")  # fmt: skip
def other_version(stage: Stage) -> list[Answer]:
    """The file is 5 % larger, which an overlay expects of versions of TensorFlow before 2 only."""
    return _overlaid(stage, stage.measure(Edited(_larger, stage.healthy().content)), "<2")


_OVERLAY = """[[overlay]]
variants = ["int8"]
tensorflow = "{versions}"
metric = "size_bytes"
value = {value}
reason = "its converter stores more"
link = "https://example.org/1"
"""


def _overlaid(stage: Stage, measurement: Measurement, versions: str) -> list[Answer]:
    """Judge with an overlay in its file that expects 5 % more bytes under `versions`."""
    folder = stage.scratch()
    path = overlays.path_of(folder, str(stage.workload))
    value = len(_larger(stage.healthy().content))
    path.parent.mkdir()
    path.write_text(_OVERLAY.format(versions=versions, value=value), encoding="utf-8")
    return stage.judge(measurement, overlays=overlays.holding(folder, measurement, ["int8"]))


def _larger(content: bytes) -> bytes:
    return content + bytes(len(content) * 5 // 100)


def _stored_elsewhere(stage: Stage, **fields: Any) -> list[Answer]:
    healthy = stage.healthy()
    provenance = replace(healthy.baseline.provenance, **fields)
    return stage.judge(healthy.measurement, replace(healthy.baseline, provenance=provenance))


def _timed(measurement: Measurement, ratio: float) -> Measurement:
    return replace(measurement, facts={**measurement.facts, "latency_ratio": ratio})
