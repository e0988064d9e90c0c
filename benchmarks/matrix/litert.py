"""Models that TensorFlow converted, run by LiteRT on a machine that has no TensorFlow.

The file is the same, so that every image must get the same class: what differs is the runtime.
"""

# ruff: noqa: T201 - scripts print

from __future__ import annotations

import contextlib
import datetime
import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from matrix.environments import LITERT, RELEASED, ROOT, Environment
from tinyml_bench.errors import TinymlError
from tinyml_bench.judging import paired_predictions
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.measuring.worker_tasks import SizedDataset
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.run import Run
from tinyml_bench.reporting import sentence
from tinyml_bench.storage import runs
from tinyml_bench.system import machine
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.workload import WORKLOADS

RUNTIME = Runtime("litert")


def run() -> int:
    """Run the models of the newest TensorFlow that has kept some; return the exit status."""
    if importlib.util.find_spec("tensorflow"):
        print("TensorFlow is installed here; this is to show that LiteRT does without it")
        return 2
    project = Project.find(ROOT)
    project.register()
    converted = newest(project.runs)
    if converted is None:
        print(f"no models to run; convert some: python -m tox run -e {RELEASED[-1].name},litert")
        return 2
    environment, saved, models = converted
    print(f"{len(models)} models that {environment.title} converted, by {RUNTIME}")
    made = judged(saved, models)
    runs.write(made, project.runs)
    failing = [finding for finding in made.findings if finding.fails]
    for finding in made.findings:
        print(sentence(finding))
    print(f"{len(made.findings) - len(failing)} passed, {len(failing)} failed")
    return 1 if failing else 0


def newest(folder: Path) -> tuple[Environment, Run, dict[CaseId, Path]] | None:
    """Return the newest TensorFlow's saved run that kept its models; ``None`` without one."""
    for environment in reversed(RELEASED):
        with contextlib.suppress(TinymlError):
            models = runs.kept_models(environment.run, folder)
            return environment, runs.read_run(environment.run, folder), models
    return None


def judged(saved: Run, models: Mapping[CaseId, Path]) -> Run:
    """Evaluate `models` and compare each with what TensorFlow's interpreter said of it."""
    known = {one.case: one for one in saved.measurements}
    pairs = [(known[case], evaluated(known[case], path)) for case, path in models.items()]
    created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    findings = tuple(finding(old, new) for old, new in pairs)
    return Run(LITERT.run, created, tuple(new for _, new in pairs), findings)


def evaluated(old: Measurement, path: Path) -> Measurement:
    """Evaluate a model on the images that `old` was measured on; what the file is stays known."""
    assert old.predictions is not None
    assert old.provenance is not None
    workload = WORKLOADS[old.case.workload]
    split = SizedDataset(DATASETS[workload.dataset], workload.input_size).load("test")
    images = split.images[: old.predictions.samples]
    scores, _ = Runner.from_file(path, RUNTIME).predict(images)
    predicted = Predictions.from_labels(np.argmax(scores, axis=1), old.predictions.labels)
    facts = {name: old.facts[name] for name in ("size_bytes", "gzip_bytes") if name in old.facts}
    return replace(
        old,
        provenance=replace(
            old.provenance, toolchain=machine.toolchain(), runtime=str(RUNTIME), scores_sha256=""
        ),
        facts={**facts, "accuracy": predicted.accuracy},
        predictions=predicted,
        absent={},
        cached=False,
    )


def finding(old: Measurement, new: Measurement) -> Finding:
    """Judge LiteRT's answers by those of TensorFlow's interpreter to the same file.

    Worse by more than accuracy's tolerance, and proven by the images, fails. Other flips do not:
    two releases of the same kernels may round differently.
    """
    assert old.predictions is not None
    assert new.predictions is not None
    flips = len(new.predictions.flips(old.predictions))
    policy = Policy()
    limit = policy.tolerances["accuracy"].limit(old.predictions.accuracy, better="higher")
    pairs = paired_predictions.discordance("accuracy", old.predictions, new.predictions)
    worse = new.predictions.accuracy < limit and pairs is not None and pairs.p < policy.alpha
    verdict = Verdict.REGRESSED if worse else Verdict.MATCHED
    return Finding(
        case=str(new.case),
        metric="accuracy",
        verdict=verdict,
        fails=worse,
        baseline=old.predictions.accuracy,
        current=new.predictions.accuracy,
        limit=limit,
        reason=f"{flips} of {new.predictions.samples:,} images get another class than with "
        f"{_by(old)}",
    )


def _by(old: Measurement) -> str:
    assert old.provenance is not None
    return old.provenance.runtime
