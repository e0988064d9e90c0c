"""A dataset from what a user gave: calibration is drawn, arrays reach workers as files."""

import mmap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyml_bench.errors import DataMissingError, UsageError
from tinyml_bench.system.cache import Cache
from tinyml_bench.workloads.datasets.user_dataset import (
    CALIBRATION_SAMPLES,
    UserDataset,
    judging_order,
)
from tinyml_bench.workloads.datasets.user_samples import Samples
from tinyml_bench.workloads.models.graph import Input

GENERATOR = np.random.default_rng(0)
TEST = GENERATOR.normal(size=(30, 3)).astype(np.float32), np.arange(30) % 3
TRAIN = GENERATOR.normal(size=(2000, 3)).astype(np.float32), np.sort(np.arange(2000) % 3)


def samples(word, given):
    """Stand for one argument of ``register``."""
    return None if given is None else Samples(f"{word}=", given, Path())


def provided(test=TEST, train=None, calibration=None):
    """Return what these arguments make."""
    given = {"test": test, "train": train, "calibration": calibration}
    return UserDataset(**{word: samples(word, one) for word, one in given.items()})


def test_calibration_is_drawn_from_training_data():
    """As many of each class as is its share, in no order of classes, always the same."""
    drawn = provided(train=TRAIN)("calibration")
    assert CALIBRATION_SAMPLES <= len(drawn) <= CALIBRATION_SAMPLES + 3
    assert np.ptp(np.bincount(drawn.labels)) <= 3
    assert (np.diff(drawn.labels) < 0).any()
    assert drawn.sha256 == provided(train=TRAIN)("calibration").sha256


def test_a_rare_class_is_drawn_too():
    """One sample of it at least."""
    labels = np.zeros(2000, int)
    labels[1234] = 1
    assert 1 in provided(train=(TRAIN[0], labels))("calibration").labels


def test_test_samples_are_left_out_of_what_is_drawn():
    """A few that repeat are no matter; most of them are a mistake."""
    mixed = np.concatenate([TRAIN[0][:150], TEST[0]])
    drawn = provided(train=mixed)("calibration")
    assert len(drawn) == 150
    with pytest.raises(UsageError, match="train=: 30 of 30 samples drawn from it are test samples"):
        provided(train=TEST)("calibration")


def test_given_calibration_samples_are_all_taken():
    """Whatever the training data are."""
    given = provided(train=TRAIN, calibration=(TRAIN[0][:17], TRAIN[1][:17]))
    assert len(given("calibration")) == 17


def test_without_either_there_is_none():
    """The error names what is lacking."""
    assert not provided().calibrates
    with pytest.raises(DataMissingError, match="no calibration samples were given"):
        provided()("calibration")


def stored_or_not(given, folder):
    """Return the test samples as the run itself and as its workers read them."""
    return given("test"), given.stored(Cache(folder), lambda: ())("test")


def test_the_first_test_samples_are_of_all_classes(tmp_path):
    """Though they were given class by class: a smaller count is a fair part of all."""
    labels = np.sort(np.arange(2000) % 4)
    inputs = np.arange(2000, dtype=np.float32)[:, np.newaxis]
    for split in stored_or_not(provided(test=(inputs, labels)), tmp_path):
        assert np.bincount(split.prefix(200).labels, minlength=4).min() > 30
        assert np.array_equal(split.images[:, 0], np.array(split.ids, int))
        assert np.array_equal(split.labels, labels[np.array(split.ids, int)])


def test_the_order_of_judging_never_changes():
    """Baselines hold predictions in it."""
    assert judging_order(10).tolist() == [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]
    assert sorted(judging_order(5000)) == list(range(5000))


def test_images_of_a_folder_keep_their_names(tmp_path):
    """Wherever in the order they are judged."""
    classes = (("cat", 10), ("dog", 200))
    for name, shade in classes:
        (tmp_path / "images" / name).mkdir(parents=True)
        for step in range(8):
            path = tmp_path / "images" / name / f"{shade + step}.png"
            Image.new("L", (2, 2), shade + step).save(path)
    given = UserDataset(Samples("test=", "images", tmp_path), shapes=lambda: ((None, 2, 2, 1),))
    inputs = (Input("image", (None, 2, 2, 1), "uint8"),)
    for split in (given("test"), given.stored(Cache(tmp_path / "cache"), lambda: inputs)("test")):
        shades = [int(Path(one).stem) for one in split.ids]
        assert split.images[:, 0, 0, 0].tolist() == shades
        turns = [f"{name}/{shade + n}.png" for n in range(8) for name, shade in classes]
        assert split.ids == tuple(turns[position] for position in judging_order(16))


def test_three_samples_are_too_few_to_judge_by():
    """The argument is named."""
    with pytest.raises(UsageError, match="test=: 3 samples are too few"):
        provided(test=(TEST[0][:3], TEST[1][:3]))("test")


def owner(array):
    """Return what owns the memory of an array."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def test_workers_map_what_was_stored(tmp_path):
    """The same samples and hash, read from disk and not sent; nothing is written twice."""
    given = provided(train=TRAIN)
    stored = given.stored(Cache(tmp_path), lambda: ())
    files = sorted(tmp_path.rglob("*.npy"))
    for name in ("test", "calibration"):
        split = stored(name)
        assert isinstance(owner(split.images), mmap.mmap)
        assert split.sha256 == given(name).sha256
        assert np.array_equal(split.labels, given(name).labels)
    given.stored(Cache(tmp_path), lambda: ())
    assert sorted(tmp_path.rglob("*.npy")) == files
    with pytest.raises(DataMissingError, match="no train samples"):
        stored("train")


def test_samples_without_labels_are_stored_too(tmp_path):
    """There is nothing to map then."""
    split = provided(test=TEST[0]).stored(Cache(tmp_path), lambda: ())("test")
    assert not split.is_labelled


def test_several_inputs_get_the_models_names(tmp_path):
    """Where the user told them apart by their order: a converter changes it."""
    inputs = Input("left", (None, 3), "float32"), Input("right", (None, 3), "float32")
    given = provided(test=((TEST[0], TEST[0]), TEST[1]))
    assert given.stored(Cache(tmp_path), lambda: inputs)("test").input_names == ("left", "right")


def test_only_the_very_same_samples_are_the_same():
    """Arrays are not compared by their values."""
    assert provided().same_as(provided())
    assert provided(test=(TEST[0], TEST[1])).same_as(provided())
    assert not provided(test=(TEST[0].copy(), TEST[1])).same_as(provided())
    assert not provided().same_as(provided(train=TRAIN))
