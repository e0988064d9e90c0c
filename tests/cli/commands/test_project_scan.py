"""What lies in a folder is found, and what could be meant otherwise is asked for by option."""

from __future__ import annotations

import numpy as np
import pytest

from tinyml_bench.cli.commands.project_scan import find_model_and_samples
from tinyml_bench.errors import UsageError


@pytest.fixture
def folder(tmp_path):
    """Make a function that puts files into a folder; labels of an .npz are integers."""

    def put(*names, labels=(0, 1)):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".npz":
                np.savez(path, x=np.zeros((2, 4)), y=np.array(labels))
            else:
                path.write_bytes(b"")
        return tmp_path

    return put


def test_an_empty_folder_has_nothing(folder):
    """Nor one in which everything is hidden or installed."""
    there = folder(".hidden/a.keras", "venv/pyvenv.cfg", "venv/lib/b.tflite", "baselines/c.h5")
    assert find_model_and_samples(there, None, None).model is None


@pytest.mark.parametrize(
    ("files", "model"),
    [
        (["digits.keras"], "digits.keras"),
        (["models/digits.h5"], "models/digits.h5"),
        (["saved/saved_model.pb", "saved/variables/x"], "saved"),
        (["digits.tflite"], "digits.tflite"),
        (["net_float32.tflite", "net-int8.tflite"],
         {"float32": "net_float32.tflite", "int8": "net-int8.tflite"}),
    ],
)  # fmt: skip
def test_the_model_and_its_samples_are_found(folder, files, model):
    """Alone, in a folder, or as one file a variant."""
    found = find_model_and_samples(
        folder(*files, "digits_test.npz", "digits_train.npz"), None, None
    )
    order = dict(sorted(model.items())) if isinstance(model, dict) else model
    assert found.model == order
    assert (found.test, found.train) == ("digits_test.npz", "digits_train.npz")
    assert found.metrics == ("accuracy",)


def test_names_become_a_workload_s(folder):
    """Of the files, in the letters of a case id."""
    found = find_model_and_samples(folder("My Net.v2.keras", "test-set.npz"), None, None)
    assert found.name == "test_set-my_net_v2"


@pytest.mark.parametrize(
    ("labels", "metrics"),
    [
        ([0, 1], ("accuracy",)),
        ([[0], [1]], ("accuracy",)),
        ([0.5, 1.5], ("mse", "mae")),
        (np.zeros((2, 4, 4), int), ("iou",)),
    ],
)
def test_the_labels_tell_what_to_judge_by(folder, labels, metrics):
    """Classes, amounts, or a class a pixel."""
    there = folder("a.keras", "test.npz", labels=labels)
    assert find_model_and_samples(there, None, None).metrics == metrics


@pytest.mark.parametrize(
    ("files", "named", "words"),
    [
        (["a.keras", "b.keras", "t.npz"], (None, None), "--model FILE: a.keras, b.keras"),
        (["a.keras"], (None, None), "--data FILE: none is here"),
        (["a.keras", "t.npz", "u.npz"], (None, None), "--data FILE: t.npz, u.npz"),
        (["t.npz"], (None, "t.npz"), "add --model"),
        (["t.npz"], ("a.keras", "t.npz"), "--model a.keras: there is no such file"),
        (["a.keras"], ("a.keras", "t.npz"), "--data t.npz: there is no such file"),
    ],
)
def test_what_cannot_be_told_is_asked_for(folder, files, named, words):
    """The message names the option, and what could be meant."""
    with pytest.raises(UsageError, match=words):
        find_model_and_samples(folder(*files), *named)


def test_what_is_named_is_taken(folder):
    """Also where others are there."""
    there = folder("a.keras", "b.keras", "t.npz", "u.npz")
    found = find_model_and_samples(there, "b.keras", "u.npz")
    assert (found.model, found.test) == ("b.keras", "u.npz")


def test_a_pickle_is_refused(folder):
    """It could run anything."""
    there = folder("a.keras")
    np.savez(there / "t.npz", x=np.zeros(2), y=np.array([{}, {}], dtype=object))
    with pytest.raises(UsageError, match=r"no \.npz file of plain arrays"):
        find_model_and_samples(there, None, None)
