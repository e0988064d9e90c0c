"""The lines under a failure tell which images moved and what else changed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from making import make_provenance

from tinyml_bench.judging.evidence import images
from tinyml_bench.judging.paired_metrics import PAIRED
from tinyml_bench.judging.paired_predictions import Discordance
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.provenance import FIELD_WORDS, Provenance, across, changes

PAIRS = Discordance(np.arange(6), np.arange(2), 10_000)


def test_lost_and_won_images_are_counted_apart():
    """With the p-value of their difference."""
    assert list(images("accuracy", PAIRS)) == [
        "of 10,000 images 6 were right and are wrong now, 2 were wrong and are right now (p = 0.14)"
    ]


@pytest.mark.parametrize("metric", PAIRED)
def test_every_paired_metric_has_words_of_its_own(metric):
    """What lost and won mean differs from metric to metric."""
    (line,) = images(metric, PAIRS)
    assert line.startswith("of 10,000 images 6 ")
    assert ("the reference" in line) == (metric != "accuracy")


def test_what_changed_around_the_model_is_told():
    """Versions, checkpoint, processor, runtime and images, each in a line."""
    now = make_provenance(
        toolchain={"python": "3.12.1", "numpy": "2.0"},
        checkpoint_sha256="f" * 64,
        cpu="another",
        runtime="another",
        dataset_sha256="e" * 64,
    )
    assert list(changes(make_provenance(), now)) == [
        "numpy was absent and is 2.0",
        "python was 3.11.9 and is 3.12.1",
        "tensorflow was 2.21.0 and is absent",
        (
            "the checkpoint is not the one of the baseline: "
            f"sha256 {make_provenance().checkpoint_sha256:.12}... -> ffffffffffff..."
        ),
        "the evaluated images or labels are not those of the baseline",
        "the baseline was measured on another processor",
        "the baseline was measured with tf xnnpack 1 thread, this run with another",
    ]


def test_the_same_place_has_nothing_to_add():
    """Hashes of what was made there are no change of the place."""
    assert list(changes(make_provenance(), make_provenance(scores_sha256="s"))) == []


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        ("tf xnnpack 1 thread", "tf xnnpack 1 thread", False),
        ("tf xnnpack 1 thread", "tf xnnpack 2 threads", True),
        ("tf xnnpack 1 thread", "litert xnnpack 1 thread", True),
        ("keras 2 threads", "keras 4 threads", False),
        ("keras 2 threads", "keras 2 threads, timed against litert xnnpack 1 thread", False),
    ],
)
def test_answers_of_two_runtimes_are_told_apart(old, new, differ):
    """Both are named; the network itself answers by Keras, whatever it is timed against."""
    told = across(make_provenance(runtime=old), make_provenance(runtime=new))
    assert told == (f"the baseline was measured with {old}, this run with {new}" if differ else "")


def test_every_field_that_a_metric_needs_has_words():
    """A reader is never told a field's name."""
    needed = {name for metric in METRICS.values() for name in metric.needs_same}
    assert needed <= set(FIELD_WORDS)
    assert set(FIELD_WORDS) <= {field.name for field in dataclasses.fields(Provenance)}
