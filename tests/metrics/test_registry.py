"""Quality metrics are what their formulas say, checked, and known by name."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.metrics import registry
from tinyml_bench.metrics.catalogue import METRICS, quality_of
from tinyml_bench.metrics.registry import QUALITIES, metric, qualities

pytestmark = pytest.mark.usefixtures("restored_registries")

SEED = np.random.default_rng(8)
LABELS = SEED.integers(0, 4, 60)
SCORES = SEED.random((60, 4)).astype(np.float32)
INPUTS = np.zeros((60, 1), np.float32)


def value(name, outputs, labels, inputs=INPUTS):
    """Return the figure, made of two stretches as two workers would make it."""
    one, cut = QUALITIES[name], len(outputs) // 3
    stretches = (slice(None, cut), slice(cut, None))
    made = [one.contributions(outputs[s], labels[s], inputs[s]) for s in stretches]
    return one.value(np.concatenate(made))


def test_top_k_counts_the_classes_before_the_true_one():
    """As sorting the scores does."""
    order = np.argsort(-SCORES, axis=1, kind="stable")
    for k in (1, 2, 3):
        hits = [label in row[:k] for label, row in zip(LABELS, order, strict=True)]
        assert value(f"top_{k}", SCORES, LABELS) == pytest.approx(np.mean(hits), abs=1e-8)
    assert value("top_4", SCORES, LABELS) == 1
    assert value("accuracy", SCORES, LABELS) == value("top_1", SCORES, LABELS)


def test_of_equal_scores_the_first_class_is_answered():
    """As argmax does, so that top-1 is accuracy to the sample."""
    equal = np.ones((30, 3), np.float32)
    labels = np.arange(30) % 3
    assert value("top_1", equal, labels) == pytest.approx(1 / 3)
    assert value("top_2", equal, labels) == pytest.approx(2 / 3)


def test_balanced_accuracy_and_macro_f1_follow_their_formulas():
    """Class by class, in a loop."""
    answered = SCORES.argmax(axis=1)
    recalls, f1 = [], []
    for label in range(4):
        true, said = label == LABELS, label == answered
        recalls.append((true & said).sum() / true.sum())
        f1.append(2 * (true & said).sum() / (true.sum() + said.sum()))
    assert value("balanced_accuracy", SCORES, LABELS) == pytest.approx(np.mean(recalls))
    assert value("macro_f1", SCORES, LABELS) == pytest.approx(np.mean(f1))


def test_a_class_without_samples_and_answers_is_left_out():
    """It has neither recall nor F1."""
    labels, scores = np.array([0, 2, 2, 0] * 5), np.zeros((20, 5), np.float32)
    scores[np.arange(20), labels] = 1
    assert value("balanced_accuracy", scores, labels) == 1
    assert value("macro_f1", scores, labels) == 1


def pairwise_auc(scores, inside):
    """Compare every pair, in a loop."""
    won = [
        1.0 if mine > other else 0.5 if mine == other else 0.0
        for mine in scores[inside]
        for other in scores[~inside]
    ]
    return np.mean(won)


def test_roc_auc_is_the_share_of_pairs_in_order():
    """Of one output, of two, and of more the mean over the classes; ties count half."""
    coarse = (SCORES * 8).round() / 8
    binary = LABELS % 2
    one = coarse[:, :1]
    assert value("roc_auc", one, binary) == pytest.approx(pairwise_auc(one[:, 0], binary == 1))
    two = pairwise_auc(coarse[:, 1] - coarse[:, 0], binary == 1)
    assert value("roc_auc", coarse[:, :2], binary) == pytest.approx(two)
    many = np.mean([pairwise_auc(coarse[:, k], k == LABELS) for k in range(4)])
    assert value("roc_auc", coarse, LABELS) == pytest.approx(many)


def test_anomaly_auc_ranks_by_how_badly_the_input_is_given_back():
    """Anomalies that are reconstructed worse than all others make it 1."""
    inputs = SEED.random((20, 6, 6, 1)).astype(np.float32)
    labels = (np.arange(20) % 4 == 0).astype(int)
    outputs = inputs.reshape(20, 36) + 0.1 * (1 + labels[:, None])
    assert value("anomaly_auc", outputs, labels, inputs) == 1
    assert value("anomaly_auc", outputs, 1 - labels, inputs) == 0
    with pytest.raises(ModelFileError, match="expected an autoencoder"):
        value("anomaly_auc", outputs[:, :5], labels, inputs)


def test_errors_of_amounts_follow_their_formulas():
    """Of several outputs the mean; R2 output by output, and far from zero as near it."""
    true = SEED.normal(size=(60, 3)) * [1, 10, 100] + [0, 5, 1000]
    given = (true + SEED.normal(size=(60, 3))).astype(np.float32)
    assert value("mse", given, true) == pytest.approx(np.mean((given - true) ** 2), rel=1e-5)
    assert value("mae", given, true) == pytest.approx(np.mean(np.abs(given - true)), rel=1e-5)
    r2 = 1 - ((given - true) ** 2).sum(0) / ((true - true.mean(0)) ** 2).sum(0)
    assert value("r2", given, true) == pytest.approx(r2.mean(), rel=1e-5)
    assert value("mse", given[:, :1], true[:, 0]) == pytest.approx(
        np.mean((given[:, 0] - true[:, 0]) ** 2), rel=1e-5
    )


def test_iou_is_that_of_all_pixels_class_by_class():
    """As sets of pixels say; a class that is nowhere does not count."""
    scores = SEED.random((12, 5, 4, 4)).astype(np.float32)
    scores[..., 3] = -1
    masks = SEED.integers(0, 3, (12, 5, 4))
    said = scores.argmax(axis=-1)
    shares = [
        ((said == k) & (masks == k)).sum() / ((said == k) | (masks == k)).sum() for k in range(3)
    ]
    assert value("iou", scores, masks) == pytest.approx(np.mean(shares))
    assert value("iou", scores, masks[..., np.newaxis]) == pytest.approx(np.mean(shares))
    single = np.where(masks[..., np.newaxis] == 1, 0.9, 0.1)
    assert value("iou", single, (masks == 1).astype(int)) == 1


def test_a_single_output_is_the_probability_of_class_1():
    """It makes two classes, whose scores add up to 1."""
    p = np.array([[0.2], [0.7], [0.5]])
    assert registry.class_scores(p).tolist() == pytest.approx(
        np.array([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]])
    )
    assert registry.class_scores((p, p)).shape == (3, 2)
    assert registry.class_scores(np.ones((3, 1, 1, 4))).shape == (3, 4)


def test_a_single_output_that_is_no_probability_is_refused():
    """Half of it would be a wrong threshold; its rank is good enough for the area."""
    logits = np.array([[-3.0], [2.0], [4.0]])
    with pytest.raises(ModelFileError, match="end the network with a sigmoid"):
        registry.class_scores(logits)
    assert value("roc_auc", logits, np.array([0, 1, 1])) == 1


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (None, "labels: expected one class index a sample, got none"),
        (
            np.array([0, 1, 4]),
            "labels: 4 at position 2 is no class of a model that tells 4 classes",
        ),
        (np.array([0, -1, 1]), "labels: -1 at position 1 is no class"),
        (np.array([0, 0.5, 1]), "labels: expected one whole class index a sample, got float64"),
        (np.array([0, np.nan, 1]), "labels: expected one whole class index"),
        (np.array(["a", "b", "c"]), "labels: expected one whole class index"),
        (np.eye(3), r"labels: expected one whole class index .* of shape \(3, 3\) for 3 samples"),
    ],
)
def test_labels_that_are_no_classes_are_refused_by_that_name(labels, said):
    """With the position of the first that is wrong."""
    with pytest.raises(ModelFileError, match=said):
        QUALITIES["top_3"].contributions(SCORES[:3], labels, INPUTS[:3])


@pytest.mark.parametrize(
    ("name", "outputs", "labels", "said"),
    [
        ("mse", np.ones((3, 2)), np.ones(3), r"labels: shape \(3,\) does not fit .*\(3, 2\)"),
        ("mae", np.ones((3, 2)), None, "labels: expected the true amounts, got none"),
        ("r2", np.ones((3, 17)), np.ones((3, 17)), "metric 'r2': 17 outputs"),
        ("iou", np.ones((3, 2)), np.ones(3), "metric 'iou': the model's output has shape"),
        ("iou", np.ones((3, 2, 2, 2)), None, "labels: expected a mask"),
        ("iou", np.ones((3, 2, 2, 2)), np.ones((3, 2)), "labels: masks of shape"),
        ("iou", np.ones((3, 2, 2, 2)), np.full((3, 2, 2), 2), "labels: masks hold 2 to 2"),
        ("macro_f1", np.ones((3, 2, 2)), np.ones(3), "one row of class scores a sample"),
    ],
)
def test_answers_and_labels_that_do_not_fit_a_metric_are_refused(name, outputs, labels, said):
    """The message names the metric, or the argument that is wrong."""
    with pytest.raises(ModelFileError, match=said):
        QUALITIES[name].contributions(outputs, labels, np.zeros((3, 7)))


def test_a_metric_that_is_not_a_number_is_named_with_its_samples():
    """One broken output is enough, whatever the other thousands say."""
    outputs = np.zeros((40, 1), np.float32)
    outputs[[7, 9]] = np.nan
    with pytest.raises(
        ModelFileError, match=r"'mse' is no finite .* 2 of 40 samples \(positions 7, 9\)"
    ):
        QUALITIES["mse"].contributions(outputs, np.zeros(40), INPUTS[:40])


@pytest.mark.parametrize("name", ["roc_auc", "r2"])
def test_a_metric_without_a_value_is_named(name):
    """Labels that are all alike leave nothing to rank, or to explain."""
    made = QUALITIES[name].contributions(SCORES[:9, :1], np.ones(9, int), INPUTS[:9])
    with pytest.raises(ModelFileError, match=f"metric '{name}' is nan for these 9 samples"):
        QUALITIES[name].value(made)


def test_a_user_s_metric_is_the_mean_of_their_function():
    """Sample by sample, with one prediction and its label; both sides are told of in metrics."""

    @metric("worst_error", better="lower", unit="mm")
    def worst(prediction, label):
        """Largest error."""
        return np.abs(prediction - label).max()

    given, true = SCORES, np.zeros((60, 4))
    assert value("worst_error", given, true) == pytest.approx(SCORES.max(axis=1).mean(), rel=1e-6)
    assert worst(np.array([1, 3]), 1) == 2
    assert METRICS["worst_error"].unit == "mm"
    assert METRICS["worst_error"].meaning == "Largest error."
    assert METRICS["worst_error"].better == "lower"
    assert METRICS["worst_error_gap"].better == "lower"
    assert quality_of("worst_error_gap") is QUALITIES["worst_error"]


def test_a_user_s_metric_sees_all_outputs_and_missing_labels():
    """Several outputs come as a tuple, no labels as None."""
    seen = []
    metric("noting")(lambda prediction, label: seen.append((prediction, label)) or 0.0)
    QUALITIES["noting"].contributions((np.zeros((2, 3)), np.ones((2, 1))), None, INPUTS[:2])
    assert len(seen) == 2
    (first, second), label = seen[0]
    assert (first.shape, second.shape, label) == ((3,), (1,), None)


def test_a_user_s_metric_that_fails_is_named_with_the_position():
    """And with the error of their function."""

    @metric("picky")
    def picky(prediction, label):
        return 1 / (label - 2)

    with pytest.raises(ModelFileError, match="'picky' failed at position 2: ZeroDivisionError"):
        QUALITIES["picky"].contributions(INPUTS[:4], [0, 1, 2, 3], INPUTS[:4])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("size_bytes", "is the suite's own"),
        ("accuracy", "is the suite's own"),
        ("quality", "is the suite's own"),
        ("mse", "registered already"),
        ("Dice", "lower-case"),
        ("dice_gap", "does not end with '_gap'"),
    ],
)
def test_a_name_that_is_taken_or_malformed_is_refused(name, said):
    """A user's metric must not stand for something else."""
    with pytest.raises(UsageError, match=said):
        metric(name)(lambda *_: 0.0)


def test_a_direction_that_is_none_is_refused():
    """It would turn a gate around."""
    with pytest.raises(UsageError, match="better is 'up', expected higher, lower"):
        metric("dice", better="up")(lambda *_: 0.0)


@pytest.mark.parametrize("names", ["accuracy", (), ("mse", "mse")])
def test_the_metrics_of_a_workload_are_names_each_once(names):
    """A text would be taken for its letters."""
    with pytest.raises(UsageError, match="metrics: expected names of metrics, each once"):
        qualities(names)


def test_an_unknown_metric_is_told_with_the_nearest_known():
    """As any unknown name is."""
    with pytest.raises(UsageError, match="did you mean 'macro_f1'"):
        qualities(("accuracy", "macro_f"))
    assert [one.name for one in qualities(("top_7", "mse"))] == ["top_7", "mse"]


@pytest.mark.parametrize("name", QUALITIES)
def test_a_built_in_metric_travels_to_a_worker(name):
    """Equal to the one that is known there."""
    there = pickle.loads(pickle.dumps(QUALITIES[name]))  # noqa: S301 - made right here
    assert there == QUALITIES[name]


@pytest.mark.parametrize("samples", [0, 3, 9])
def test_a_handful_of_samples_is_refused_by_the_argument_s_name(samples):
    """Nothing could be told from them."""
    with pytest.raises(UsageError, match=f"^test: {samples} samples are too few"):
        registry.check_samples(samples, "test")
    registry.check_samples(registry.FEWEST_SAMPLES, "test")


def test_a_metric_is_remembered_from_its_description():
    """Its figures can be read where the function is not; it cannot be asked."""
    metric("dice", unit="mm", form=".2f")(lambda *_: 0.5)
    told = registry.described("dice")
    assert registry.described("mse") == {}
    QUALITIES._entries.pop("dice")
    registry.remember("dice", **told)
    assert METRICS["dice"].show(0.123) == "0.12"
    assert registry.described("dice") == told
    with pytest.raises(UsageError, match="'dice' is not registered here"):
        QUALITIES["dice"].contributions(INPUTS, LABELS, INPUTS)
    with pytest.raises(UsageError, match="no format"):
        registry.remember("dice", **(told | {"form": "%d"}))
