"""ImageNet weights are found in one folder or downloaded, and never taken unverified."""

import numpy as np
import pytest

from tinyml_bench.errors import DataCorruptError, DataMissingError, UsageError
from tinyml_bench.workloads.models import BASES, imagenet
from tinyml_bench.workloads.models.variables import weights_of


class Tiny:
    """A base of one layer that is built at once."""

    def network(self, pixels=None, weights=None, side=8):
        """Return the network, with the weights in the file if one is given."""
        from tf_keras import Sequential, layers

        assert pixels is None
        model = Sequential([layers.Input((side, side, 3)), layers.Conv2D(2, 1, name="only")])
        if weights == "imagenet":
            raise OSError("no network")
        if weights is not None:
            model.load_weights(weights)
        return model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a weights folder with the file of a tiny base, whose hash is known."""
    model = Tiny().network()
    model.save_weights(tmp_path / "tiny.h5")
    monkeypatch.setitem(BASES, "tiny", Tiny())
    monkeypatch.setattr(imagenet, "FILES", {"tiny": ("tiny.h5", "long_name.h5")})
    monkeypatch.setattr(imagenet, "SHA256", {"tiny": imagenet.digest(weights_of(model))})
    monkeypatch.setenv(imagenet.WEIGHTS_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.mark.tensorflow
def test_the_given_folder_is_used(folder):
    """Weights come by layer and variable, under either name of the file."""
    first = imagenet.load("tiny")
    assert list(first) == ["only/kernel", "only/bias"]
    (folder / "tiny.h5").rename(folder / "long_name.h5")
    assert imagenet.find("tiny") == folder / "long_name.h5"
    assert np.array_equal(imagenet.load("tiny")["only/kernel"], first["only/kernel"])


@pytest.mark.tensorflow
def test_a_truncated_file_is_refused(folder):
    """The message names the file and its size."""
    path = folder / "tiny.h5"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataCorruptError, match=r"tiny\.h5 is damaged .*2,000 bytes.*get it again"):
        imagenet.load("tiny")


@pytest.mark.tensorflow
def test_other_values_are_refused(folder):
    """A file of the right shape with other values in it is not the official one."""
    Tiny().network().save_weights(folder / "tiny.h5")
    with pytest.raises(DataCorruptError, match=r"other values than the ImageNet weights of tiny"):
        imagenet.load("tiny")


@pytest.mark.tensorflow
def test_a_folder_without_the_file_is_told(folder):
    """Both names are given, and how to have it downloaded."""
    (folder / "tiny.h5").unlink()
    with pytest.raises(DataMissingError, match=r"expected tiny\.h5 or long_name\.h5.*unset"):
        imagenet.load("tiny")


@pytest.mark.tensorflow
def test_without_a_folder_the_library_downloads(folder, monkeypatch, tmp_path):
    """What the library has downloaded before is found; a failing download names the way out."""
    monkeypatch.delenv(imagenet.WEIGHTS_VARIABLE)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with pytest.raises(DataMissingError, match=r"could not be downloaded \(no network\).*tiny\.h5"):
        imagenet.load("tiny")
    (tmp_path / "keras" / "models").mkdir(parents=True)
    (folder / "tiny.h5").rename(tmp_path / "keras" / "models" / "long_name.h5")
    assert len(imagenet.load("tiny")) == 2


def test_an_unknown_base_is_refused():
    """The known ones are listed, and each of them has a network and a hash."""
    with pytest.raises(UsageError, match=r"'resnet'; known: vgg16, mobilenet, mobilenet_v2"):
        imagenet.find("resnet")
    assert imagenet.FILES.keys() == imagenet.SHA256.keys() == BASES.keys()


def test_a_digest_is_of_names_shapes_and_values():
    """The order of the layers has no part in it; anything else has."""
    one, two = np.arange(6.0).reshape(2, 3), np.ones(2)
    expected = imagenet.digest({"a": one, "b": two})
    assert imagenet.digest({"b": two, "a": one}) == expected
    for other in ({"a": one, "c": two}, {"a": one.T, "b": two}, {"a": one + 1, "b": two}):
        assert imagenet.digest(other) != expected
