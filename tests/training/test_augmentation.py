"""Batches are a function of the seed, and augmentation does what the recipe says and no more."""

import itertools

import numpy as np
import pytest

from tinyml_bench.training.augmentation import batches, steps_per_epoch
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.workload import Training

pytestmark = pytest.mark.tensorflow


def make_split(images):
    """Return images whose label is their number."""
    count = len(images)
    return Split("train", images, np.arange(count), tuple(map(str, range(count))))


def take(split, training, count):
    """Return `count` batches, as pixels and label numbers."""
    stream = batches(split, training, len(split)).as_numpy_iterator()
    return [(pixels, shares.argmax(axis=1)) for pixels, shares in itertools.islice(stream, count)]


@pytest.fixture
def noise():
    """Return 8 images that all differ."""
    generator = np.random.default_rng(0)
    return make_split(generator.integers(0, 256, (8, 6, 6, 2), dtype=np.uint8))


@pytest.fixture
def dots():
    """Return 64 black images with one white dot, a little off the middle."""
    images = np.zeros((64, 9, 9, 1), np.uint8)
    images[:, 4, 3] = 255
    return make_split(images)


def where(pixels):
    """Return rows and columns of the dots."""
    found = np.argwhere(pixels[..., 0] == 255)
    assert len(found) == len(pixels)
    return found[:, 1], found[:, 2]


def test_the_seed_decides_the_batches(noise):
    """The same seed gives the same pixels and order; another one does not."""

    def flat(seed):
        training = Training(epochs=1, batch_size=4, shift=0.3, mirror=True, seed=seed)
        return np.concatenate([pixels.ravel() for pixels, _ in take(noise, training, 6)])

    assert np.array_equal(flat(1), flat(1))
    assert not np.array_equal(flat(1), flat(2))


def test_an_epoch_shows_every_image_once_in_a_new_order(noise):
    """Without augmentation, an epoch is a permutation of the images with their own labels."""
    taken = take(noise, Training(epochs=3, batch_size=4), 6)
    orders = [np.concatenate([taken[i][1], taken[i + 1][1]]) for i in (0, 2, 4)]
    assert [sorted(order) for order in orders] == [list(range(8))] * 3
    assert len({tuple(order) for order in orders}) == 3
    for pixels, labels in taken:
        assert pixels.dtype == np.float32
        assert np.array_equal(pixels, noise.images[labels])


def test_augmentation_differs_from_batch_to_batch(dots):
    """The same images are moved otherwise in the next epoch."""
    (first, _), (second, _) = take(dots, Training(epochs=1, batch_size=64, shift=0.25), 2)
    assert not np.array_equal(np.stack(where(first)), np.stack(where(second)))


def test_a_shift_is_of_whole_pixels_up_to_its_reach(dots):
    """0.25 of 9 pixels is 2: every offset from -2 to 2 occurs, along each axis by itself."""
    ((pixels, _),) = take(dots, Training(epochs=1, batch_size=64, shift=0.25), 1)
    rows, columns = where(pixels)
    assert set(rows) == {2, 3, 4, 5, 6}
    assert set(columns) == {1, 2, 3, 4, 5}
    assert len(set(zip(rows, columns, strict=True))) > 12


def test_about_half_of_the_images_are_mirrored(dots):
    """A mirrored dot has changed its side and kept its row."""
    ((pixels, _),) = take(dots, Training(epochs=1, batch_size=64, mirror=True), 1)
    rows, columns = where(pixels)
    assert set(rows) == {4}
    assert set(columns) == {3, 5}
    assert 16 < np.sum(columns == 5) < 48


@pytest.mark.parametrize(("batch_size", "steps", "shown"), [(3, 2, 3), (8, 1, 8), (100, 1, 8)])
def test_an_epoch_is_made_of_full_batches(noise, batch_size, steps, shown):
    """What does not fill a batch waits for the next epoch; too few images are one batch."""
    training = Training(epochs=1, batch_size=batch_size)
    assert steps_per_epoch(noise, training) == steps
    ((pixels, _),) = take(noise, training, 1)
    assert len(pixels) == shown


def drawn(split, **recipe):
    """Return one batch of all images, augmented, and their numbers."""
    return take(split, Training(epochs=1, batch_size=len(split), **recipe), 1)[0]


def test_batches_go_on_where_they_stopped(noise):
    """The third batch is the same, whether or not the first two were drawn."""
    training = Training(epochs=3, batch_size=4, mirror=True, light=0.2, zoom=0.1, turn=True)
    (_, _, (pixels, labels)) = take(noise, training, 3)
    later = next(batches(noise, training, len(noise), first=2).as_numpy_iterator())
    assert np.array_equal(later[0], pixels)
    assert np.array_equal(later[1].argmax(axis=1), labels)


def test_turning_gives_all_eight_positions(dots):
    """A dot off the middle comes to all places that turns and mirrors bring it to."""
    shifted = make_split(np.roll(dots.images, 2, axis=1))
    pixels, _ = drawn(shifted, turn=True, mirror=True)
    rows, columns = where(pixels)
    expected = {(4 + a, 4 + b) for a, b in ((2, -1), (2, 1), (-2, -1), (-2, 1))}
    expected |= {(column, row) for row, column in expected}
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


def test_light_changes_gain_and_offset_within_the_range(noise):
    """Each image is mapped by one line of its own, cut at 0 and 255."""
    pixels, numbers = drawn(noise, light=0.4)
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    gains = []
    for image, number in zip(pixels, numbers, strict=True):
        inside = (image > 0) & (image < 255)
        gain, offset = np.polyfit(noise.images[number][inside], image[inside], 1)
        line = gain * noise.images[number] + offset
        np.testing.assert_allclose(image, np.clip(line, 0, 255), atol=0.01)
        gains.append(gain)
    assert 0.6 <= min(gains) < 0.95
    assert 1.05 < max(gains) <= 1.4


def test_zoom_and_rotation_keep_the_middle(noise):
    """The middle pixel stays where it is, and others do not."""
    images = np.random.default_rng(1).integers(0, 256, (8, 7, 7, 1), dtype=np.uint8)
    pixels, numbers = drawn(make_split(images), zoom=0.3, rotate=20)
    np.testing.assert_allclose(pixels[:, 3, 3], images[numbers][:, 3, 3], atol=0.5)
    assert np.abs(pixels - images[numbers]).max() > 20


def test_rotation_turns_by_the_angle_that_was_drawn():
    """A bright row becomes a straight line through the middle, at no more than the angle given."""
    images = np.zeros((16, 41, 41, 1), np.uint8)
    images[:, 20] = 255
    pixels, _ = drawn(make_split(images), rotate=30)
    heights = pixels[..., 0].argmax(axis=1) - 20  # of the line, in each column
    slopes = [np.polyfit(np.arange(-10, 11), height[10:31], 1)[0] for height in heights]
    angles = np.degrees(np.arctan(slopes))
    assert np.abs(angles).max() <= 31
    assert np.abs(angles).max() > 12


def test_stretching_makes_wider_what_it_makes_lower():
    """A square in the middle becomes a rectangle of about the same area."""
    images = np.zeros((32, 81, 81, 1), np.uint8)
    images[:, 20:61, 20:61] = 255
    pixels, _ = drawn(make_split(images), stretch=0.3)
    bright = pixels[..., 0] > 127
    heights, widths = bright[:, :, 40].sum(axis=1), bright[:, 40].sum(axis=1)
    assert (widths / heights).min() < 0.7
    assert (widths / heights).max() > 1.4
    assert np.all((heights < 41) | (widths <= 42))
    assert np.all((widths < 41) | (heights <= 42))
