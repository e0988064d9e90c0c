"""An evaluation joins shards in order, refuses what is no score, and comes back from storage."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from making import CLASSES, make_labels

from tinyml_bench.errors import ModelFileError
from tinyml_bench.measuring.evaluation import Evaluation
from tinyml_bench.measuring.worker_tasks import Shard

LABELS = make_labels(20)


def make_scores(classes: np.ndarray, width: int = CLASSES) -> np.ndarray:
    """Make scores ``(n, width) float32`` whose largest is that of the given class."""
    return np.eye(width, dtype=np.float32)[classes]


def make_shard(classes, seconds: float = 2.0, invoke: float = 1.5, memory: int | None = 100):
    """Make a shard that predicts `classes`."""
    return Shard(make_scores(np.asarray(classes)), seconds, invoke, memory)


def test_shards_are_joined_in_order():
    """Times add up, memory is that of the hungriest worker."""
    wrong = (LABELS[:8] + 1) % CLASSES
    shards = [make_shard(wrong, 1.0, 0.5, 300), make_shard(LABELS[8:], 3.0, 2.5, 200)]
    made = Evaluation.from_shards(shards, LABELS)
    assert made.predictions.predicted.tolist() == [*wrong, *LABELS[8:]]
    assert made.predictions.correct.tolist() == [False] * 8 + [True] * 12
    assert (made.split_seconds, made.invoke_share) == (4.0, 0.75)
    assert made.peak_memory_bytes == 300
    assert not made.cached


@pytest.mark.parametrize(
    ("memories", "peak"), [([None, None], None), ([None, 7], 7), ([0, None], 0)]
)
def test_memory_is_unknown_only_where_no_worker_knew(memories, peak):
    """Nothing is not the same as zero."""
    shards = [
        make_shard(part, memory=memory)
        for part, memory in zip((LABELS[:10], LABELS[10:]), memories, strict=True)
    ]
    made = Evaluation.from_shards(shards, LABELS)
    assert made.peak_memory_bytes == peak
    assert ("peak_memory_bytes" in made.costs()) == (peak is not None)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_no_prediction(bad):
    """Else argmax would make a class of it; the message counts the images, not the scores."""
    scores = make_scores(LABELS)
    scores[3, :2] = bad
    scores[7, 5] = bad
    with pytest.raises(ModelFileError, match="not a finite number for 2 of 20 images"):
        Evaluation.from_shards([Shard(scores, 1.0, 1.0, None)], LABELS)


@pytest.mark.parametrize("shape", [(20,), (20, 2, 10), (19, 10), (21, 10)], ids=str)
def test_an_output_that_is_not_one_row_an_image_is_refused(shape):
    """The message shows the shape that came."""
    shard = Shard(np.zeros(shape, np.float32), 1.0, 1.0, None)
    with pytest.raises(ModelFileError, match="for 20 images; expected one row") as error:
        Evaluation.from_shards([shard], LABELS)
    assert str(shape) in str(error.value)


def test_a_label_beyond_the_outputs_is_refused():
    """A model with too few outputs can never be right on the last classes."""
    shard = Shard(make_scores(LABELS % 9, width=9), 1.0, 1.0, None)
    with pytest.raises(ModelFileError, match="9 classes apart and the test labels go up to 9"):
        Evaluation.from_shards([shard], LABELS)


def test_more_outputs_than_classes_are_allowed():
    """A network may know a class that the test split lacks."""
    shard = Shard(make_scores(LABELS, width=12), 1.0, 1.0, None)
    assert Evaluation.from_shards([shard], LABELS).predictions.accuracy == 1.0


@pytest.mark.parametrize("memory", [None, 4096])
def test_what_was_stored_is_recalled(memory):
    """Costs through JSON, scores to the bit, and it says that it was cached."""
    made = Evaluation.from_shards([make_shard(LABELS[::-1], memory=memory)], LABELS)
    costs, scores = made.store()
    again = Evaluation.recall(json.loads(json.dumps(costs)), scores, LABELS)
    assert again.cached
    assert again.scores.tobytes() == made.scores.tobytes()
    assert again.scores_sha256 == made.scores_sha256
    assert again.predictions.flips(made.predictions).size == 0
    assert again.predictions.correct.tolist() == made.predictions.correct.tolist()
    assert again.costs() == made.costs()


def test_recalled_predictions_are_judged_by_the_labels_of_today():
    """Which of them are right is not stored."""
    stored = Evaluation.from_shards([make_shard(LABELS)], LABELS).store()
    again = Evaluation.recall(*stored, (LABELS + 1) % CLASSES)
    assert again.predictions.accuracy == 0.0


def test_scores_of_another_number_of_images_are_not_recalled():
    """A damaged entry of the cache is an error, never an accuracy."""
    stored = Evaluation.from_shards([make_shard(LABELS)], LABELS).store()
    with pytest.raises(ModelFileError, match="for 19 images"):
        Evaluation.recall(*stored, LABELS[:-1])


@pytest.mark.parametrize(
    "damage", [slice(0), slice(-8), slice(1, None)], ids=["empty", "cut", "shifted"]
)
def test_damaged_scores_are_not_recalled(damage):
    """Nor are they unpickled."""
    costs, scores = Evaluation.from_shards([make_shard(LABELS)], LABELS).store()
    with pytest.raises((ValueError, EOFError)):
        Evaluation.recall(costs, scores[damage], LABELS)


def test_objects_are_not_recalled():
    """An array of Python objects would run what a file says."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    costs, _ = Evaluation.from_shards([make_shard(LABELS)], LABELS).store()
    with pytest.raises(ValueError, match="allow_pickle"):
        Evaluation.recall(costs, buffer.getvalue(), LABELS)


def test_the_digest_is_of_every_output_to_the_bit():
    """However the shards were cut; one changed bit of one score changes it."""
    whole = Evaluation.from_shards([make_shard(LABELS)], LABELS)
    halves = Evaluation.from_shards([make_shard(LABELS[:7]), make_shard(LABELS[7:])], LABELS)
    assert whole.scores_sha256 == halves.scores_sha256
    scores = make_scores(LABELS)
    scores[3, 5] = np.nextafter(np.float32(0), np.float32(1))
    other = Evaluation.from_shards([Shard(scores, 1.0, 1.0, None)], LABELS)
    assert other.predictions.flips(whole.predictions).size == 0
    assert other.scores_sha256 != whole.scores_sha256


def test_costs_are_facts_in_the_units_of_their_names():
    """Seconds of the whole split, a share, bytes."""
    made = Evaluation.from_shards([make_shard(LABELS, 2.00004, 1.0, 1000)], LABELS)
    assert made.costs() == {
        "split_seconds": 2.0,
        "invoke_share": 0.5,
        "peak_memory_bytes": 1000,
    }
