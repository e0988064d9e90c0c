"""Samples in the forms that a user has them, and what is refused in each."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyml_bench.errors import DataMissingError, UsageError
from tinyml_bench.workloads.datasets.user_samples import Samples

IMAGES = np.arange(12 * 4, dtype=np.uint8).reshape(12, 2, 2, 1)
LABELS = np.arange(12) % 3
SHAPES = ((None, 2, 2, 1),)


def read(given, most=None):
    """Read test samples from what was given as ``test=``."""
    return Samples("test=", given, Path()).read("test", lambda: SHAPES, most)


def one_by_one():
    """Yield each sample with its label."""
    yield from zip(IMAGES, LABELS, strict=True)


def in_batches():
    """Yield batches of five, the last one smaller."""
    for first in range(0, len(IMAGES), 5):
        yield IMAGES[first : first + 5], LABELS[first : first + 5]


class TestFunction:
    """A function is called when its samples are first needed."""

    @pytest.mark.parametrize(
        "function",
        [one_by_one, in_batches, lambda: (IMAGES, LABELS), lambda: iter([(IMAGES, LABELS)])],
        ids=["samples", "batches", "arrays", "one batch"],
    )
    def test_it_may_return_an_iterator_or_arrays(self, function):
        """The samples are the same, however they come."""
        found = read(function)
        assert np.array_equal(found.images, IMAGES)
        assert np.array_equal(found.labels, LABELS)

    def test_it_may_return_inputs_without_labels(self):
        """As training samples, which only calibrate."""
        found = read(lambda: IMAGES)
        assert np.array_equal(found.images, IMAGES)
        assert not found.is_labelled

    def test_it_may_return_a_file(self, tmp_path):
        """Relative to the folder that a path would be relative to."""
        np.savez(tmp_path / "test.npz", x=IMAGES, y=LABELS)
        samples = Samples("test=", lambda: "test.npz", tmp_path)
        assert np.array_equal(samples.read("test", lambda: SHAPES).labels, LABELS)

    def test_an_iterator_is_read_no_further_than_needed(self):
        """Five of a batch are more than the three that were asked for."""
        assert len(read(in_batches, most=3)) == 5

    @pytest.mark.parametrize("returned", [3, None, one_by_one], ids=["number", "none", "function"])
    def test_anything_else_is_refused_with_the_argument(self, returned):
        """The message says what is expected."""
        with pytest.raises(UsageError, match=r"^test=: expected \(inputs, labels\) arrays"):
            read(lambda: returned)


class TestStream:
    """What gives samples one after the other."""

    def test_a_data_set_of_tensorflow_is_read_by_its_own_iterator(self):
        """Batches or samples, told apart by the shape that the model takes."""

        class Dataset:
            def as_numpy_iterator(self):
                return in_batches()

        assert np.array_equal(read(Dataset()).labels, LABELS)

    def test_weights_of_samples_are_left_out(self):
        """Keras has them at third place."""
        weighted = ((image, label, 0.5) for image, label in one_by_one())
        assert np.array_equal(read(lambda: weighted).labels, LABELS)

    def test_an_empty_one_is_refused(self):
        """It may have been used up."""
        with pytest.raises(UsageError, match="test=: it gave no sample"):
            read(lambda: iter(()))


class TestFolder:
    """One folder of images per class."""

    @pytest.fixture
    def folder(self, tmp_path):
        """Make two classes of three and of two images."""
        for name, shades in (("cat", (10, 20, 30)), ("dog", (200, 210))):
            (tmp_path / name).mkdir()
            for shade in shades:
                Image.new("L", (4, 4), shade).save(tmp_path / name / f"{shade}.png")
        return tmp_path

    def test_images_are_brought_to_the_model_s_size(self, folder):
        """Classes are the folders in alphabetical order, and a prefix holds all of them."""
        found = read(folder)
        assert found.images.shape == (5, 2, 2, 1)
        assert found.labels.tolist() == [0, 1, 0, 1, 0]
        assert found.images[:, 0, 0, 0].tolist() == [10, 200, 20, 210, 30]
        assert found.ids[0] == "cat/10.png"

    def test_a_folder_without_classes_is_refused(self, folder):
        """Images lie in the folder itself."""
        with pytest.raises(UsageError, match=r"cat holds 0 folders; expected one for each class"):
            read(folder / "cat")


class TestArrays:
    """Inputs and labels, or inputs alone, as they are."""

    def test_a_pair_is_inputs_and_labels(self):
        """Lists are arrays too."""
        found = read((IMAGES.tolist(), LABELS.tolist()))
        assert np.array_equal(found.images, IMAGES)
        assert np.array_equal(found.labels, LABELS)

    def test_a_mapping_is_several_inputs_by_name(self):
        """Each with the samples along its first axis."""
        found = read(({"left": IMAGES, "right": IMAGES[:, 0]}, LABELS))
        assert found.input_names == ("left", "right")
        assert [one.shape for one in found.inputs] == [(12, 2, 2, 1), (12, 2, 1)]

    def test_lengths_that_differ_are_refused(self):
        """With the argument before what is wrong."""
        with pytest.raises(UsageError, match=r"^test=: labels must be .*\(12, \.\.\.\)"):
            read((IMAGES, LABELS[:5]))

    @pytest.mark.parametrize("given", [None, 3, ("x", "y", "z"), (3, LABELS), (IMAGES, 3)])
    def test_what_is_no_samples_is_refused_before_it_is_read(self, given):
        """At registration: nothing is loaded for it."""
        with pytest.raises(UsageError, match=r"^test=: expected"):
            Samples("test=", given, Path())

    def test_objects_are_no_numbers(self):
        """Text in place of pixels."""
        with pytest.raises(UsageError, match="test=: inputs must be numbers"):
            read((np.array(["a"] * 12), LABELS))


class TestFile:
    """An .npz file of plain arrays."""

    def saved(self, folder, **arrays):
        """Write a file and read it as samples."""
        np.savez(folder / "test.npz", **arrays)
        return Samples("test=", "test.npz", folder).read("test", lambda: SHAPES)

    @pytest.mark.parametrize("names", [("x", "y"), ("inputs", "labels"), ("image", "label")])
    def test_inputs_and_labels_are_told_by_their_names(self, tmp_path, names):
        """Of the usual ones."""
        found = self.saved(tmp_path, **dict(zip(names, (IMAGES, LABELS), strict=True)))
        assert np.array_equal(found.images, IMAGES)
        assert np.array_equal(found.labels, LABELS)

    def test_several_inputs_have_the_names_of_the_model_s(self, tmp_path):
        """As a mapping would."""
        found = self.saved(tmp_path, left=IMAGES, right=IMAGES, y=LABELS)
        assert found.input_names == ("left", "right")

    def test_one_array_too_many_is_refused(self, tmp_path):
        """It cannot be told what it is for."""
        with pytest.raises(UsageError, match=r"^test=: .* holds x, ids; expected x "):
            self.saved(tmp_path, x=IMAGES, ids=LABELS, y=LABELS)

    def test_labels_alone_are_refused(self, tmp_path):
        """A model is fed something."""
        with pytest.raises(UsageError, match="holds no inputs"):
            self.saved(tmp_path, y=LABELS)

    def test_pickled_objects_are_never_read(self, tmp_path):
        """Nor is the code in them run."""
        with pytest.raises(UsageError, match="holds pickled Python objects, which are never read"):
            self.saved(tmp_path, x=np.array([{}] * 12, object), y=LABELS)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
    def test_a_damaged_file_is_refused(self, tmp_path, content):
        """By its name."""
        (tmp_path / "test.npz").write_bytes(content)
        with pytest.raises(UsageError, match=r"test.npz (is no .npz file|holds pickled)"):
            Samples("test=", "test.npz", tmp_path).read("test", lambda: SHAPES)

    def test_one_that_is_not_there_is_missing_data(self, tmp_path):
        """As any dataset that is not here."""
        with pytest.raises(DataMissingError, match=r"^test=: there is no .*test\.npz"):
            Samples("test=", "test.npz", tmp_path).read("test", lambda: SHAPES)

    @pytest.mark.parametrize("name", ["test.pkl", "test.npy", "test.joblib"])
    def test_a_format_that_may_hold_a_pickle_is_refused_unseen(self, tmp_path, name):
        """And what to save instead is said."""
        with pytest.raises(UsageError, match=r"which is never read; save arrays with numpy\.savez"):
            Samples("test=", name, tmp_path)
