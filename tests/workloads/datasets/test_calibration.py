"""Calibration images are of several classes, and none of them is judged by."""

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.datasets.calibration import check, shared_samples


def make_split(name, images, labels=None):
    """Make a split of `images`, its classes 0 and 1 by turns."""
    labels = np.arange(len(images)) % 2 if labels is None else np.asarray(labels)
    ids = tuple(f"{name[0]}{number}" for number in range(len(images)))
    return Split(name, images, labels, ids)


@pytest.fixture
def pixels():
    """Return 30 different images."""
    return np.random.default_rng(1).integers(0, 256, (30, 4, 4, 1)).astype(np.uint8)


def test_images_of_their_own_and_several_classes_may_serve(pixels):
    """Nothing is said."""
    check("toy", make_split("calibration", pixels[:10]), make_split("test", pixels[10:]))


def test_a_shared_image_is_refused_by_both_its_names(pixels):
    """Whatever it is called, its pixels tell."""
    calibration, test = make_split("calibration", pixels[:11]), make_split("test", pixels[10:])
    with pytest.raises(UsageError, match=r"'toy': calibration image 'c10' is also test image 't0'"):
        check("toy", calibration, test)


def test_of_many_shared_images_the_number_is_told(pixels):
    """One is named, the others are counted."""
    with pytest.raises(UsageError, match="'t0' and 29 more, so"):
        check("toy", make_split("calibration", pixels), make_split("test", pixels))


def test_an_image_that_differs_in_one_pixel_is_another(pixels):
    """Only equal images are shared; a checksum that collides is not enough."""
    other = pixels.copy()
    other[:, 0, 0, 0] ^= 1
    assert shared_samples(make_split("calibration", other), make_split("test", pixels)) == []


def test_images_of_another_size_are_not_compared(pixels):
    """They cannot be equal."""
    assert (
        shared_samples(make_split("calibration", pixels[:, :2]), make_split("test", pixels)) == []
    )


def test_calibration_of_one_class_is_refused(pixels):
    """The ranges of the other classes would never be seen."""
    one = make_split("calibration", pixels[:10], [1] * 10)
    with pytest.raises(UsageError, match=r"all 10 calibration images are of one class \(1\)"):
        check("toy", one, make_split("test", pixels[10:]))


def test_what_finds_anomalies_is_calibrated_with_normal_samples_alone(pixels):
    """Its test samples are normal ones and others, which are no classes of its own."""
    normal = make_split("calibration", pixels[:10], [0] * 10)
    check("toy", normal, make_split("test", pixels[10:]), of_classes=False)
    with pytest.raises(UsageError, match="is also test image"):
        check("toy", normal, make_split("test", pixels), of_classes=False)


def test_where_the_test_images_are_of_one_class_too_nothing_is_said(pixels):
    """An anomaly detector's normal images, for example."""
    check(
        "toy",
        make_split("calibration", pixels[:10], [0] * 10),
        make_split("test", pixels[10:], [0] * 20),
    )
