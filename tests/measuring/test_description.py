"""Before anything is converted it is told whether samples fit the model."""

import numpy as np
import pytest
from tflite_models import CUSTOM, Operator, Tensor, build, classifier

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.measuring import description
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.workload import Workload

INPUTS = np.zeros((12, 2, 2, 1), np.float32)
LABELS = np.arange(12) % 3


def split(inputs=INPUTS, labels=LABELS, name="test"):
    """Make a split of samples."""
    return Split(name, inputs, labels, tuple(map(str, range(len(inputs)))))


@pytest.fixture
def workload(tmp_path):
    """Return a function that makes a workload of one file."""

    def make(content=None, **changes):
        path = tmp_path / "net.tflite"
        path.write_bytes(build(classifier()) if content is None else content)
        files = {"float32": path}
        return Workload("dots", "net", lambda: None, files=files, reference="float32", **changes)

    return make


def test_files_are_described_by_their_content(workload):
    """Nothing of Keras is known of them."""
    made = workload()
    found = description.of_files(made, split(), None)
    other = description.of_files(workload(build(classifier(description="other"))), split(), None)
    assert found.network_sha256 != other.network_sha256
    assert (found.test_samples, found.keras_bytes, found.calibration_sha256) == (12, None, "")
    assert found.test_sha256 == split().sha256


@pytest.mark.parametrize(
    ("inputs", "hint"),
    [
        (INPUTS[..., 0], r"add the axis with inputs\[\.\.\., None\]"),
        (np.zeros((12, 2, 2, 3), np.float32), r"shape \(2, 2, 3\), and .* takes \(2, 2, 1\)"),
        (
            np.zeros((12, 1, 2, 2), np.float32),
            r"put channels last with inputs.transpose\(0, 2, 3, 1",
        ),
    ],
    ids=["axis", "channels", "order"],
)
def test_samples_of_another_shape_are_refused_with_what_helps(workload, inputs, hint):
    """Both shapes are told, and the argument."""
    with pytest.raises(UsageError, match=r"register\('dots-net'\): test=: .*" + hint):
        description.of_files(workload(), split(inputs), None)


def test_calibration_samples_have_to_fit_as_well(workload):
    """They are told apart by their argument."""
    calibrating = split(INPUTS[..., 0], name="calibration")
    with pytest.raises(UsageError, match="calibration=: its samples have shape"):
        description.of_files(workload(), split(), calibrating)


def test_real_values_for_an_integer_input_are_refused(workload):
    """They would lose what is behind the point."""
    tensors = (Tensor("tokens", (1, 2, 2, 1), 2), *classifier().tensors[1:])
    made = workload(build(classifier(tensors=tensors)))
    with pytest.raises(UsageError, match=r"are float32, .* takes int32; .* astype\('int32'\)"):
        description.of_files(made, split(), None)
    assert description.of_files(made, split(INPUTS.astype(np.int32)), None).test_samples == 12


def test_labels_out_of_range_are_refused_where_classes_are_told_apart(workload):
    """And are anybody's business elsewhere: a metric of one's own takes what it likes."""
    beyond = split(labels=LABELS + 1)
    with pytest.raises(UsageError, match=r"register\('dots-net'\): test=, "):
        description.of_files(workload(), beyond, None)
    assert description.of_files(workload(metrics=("mse",)), beyond, None).test_samples == 12


def test_one_hot_labels_are_refused_with_what_helps(workload):
    """A row each is no class index."""
    rows = split(labels=np.eye(3)[LABELS])
    with pytest.raises(UsageError, match=r"of one-hot rows give labels\.argmax\(axis=1\)"):
        description.of_files(workload(), rows, None)


def test_one_scale_is_enough_for_an_input_to_take_real_values(workload):
    """The runner quantizes them."""
    tensors = (
        Tensor("image", (1, 2, 2, 1), 9, scales=(0.1,), zero_points=(0,)),
        *classifier().tensors[1:],
    )
    (one,) = description.inputs_of_file(workload(build(classifier(tensors=tensors))))
    assert (one.name, one.shape, one.dtype) == ("image", (1, 2, 2, 1), "float32")


@pytest.mark.parametrize(
    ("custom", "words"),
    [("FlexErf", "FlexErf of the whole TensorFlow"), ("Whirl", "the custom operators Whirl")],
)
def test_operators_that_no_device_has_are_refused_by_name(workload, custom, words):
    """Before anything is run."""
    made = workload(build(classifier(operators=[Operator(CUSTOM, (0,), (4,), custom=custom)])))
    with pytest.raises(ModelFileError, match=rf"register\('dots-net'\): model=: .*{words}"):
        description.ready_made(made, "float32")


@pytest.mark.parametrize(
    ("metrics", "classes"),
    [
        (("accuracy",), True),
        (("mse", "top_3"), True),
        (("roc_auc",), True),
        (("anomaly_auc", "mse"), False),
    ],
)
def test_metrics_tell_whether_there_are_classes(metrics, classes):
    """An anomaly detector has none, whatever its labels are."""
    made = Workload("dots", "net", lambda: None, metrics=metrics)
    assert description.tells_classes(made) is classes
