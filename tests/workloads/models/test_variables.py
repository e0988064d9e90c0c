"""Variables have names that depend on the network alone."""

import pytest

from tinyml_bench.workloads.models.variables import weights_of

pytestmark = pytest.mark.tensorflow


def test_nested_and_shared_layers_have_one_key_each():
    """A layer's key carries the networks it lies in; a layer used twice is kept once."""
    from tf_keras import Model, Sequential, layers

    base = Sequential([layers.Input((2,)), layers.Dense(2, name="inner")], name="base")
    first, second = layers.Input((2,)), layers.Input((2,))
    model = Model([first, second], layers.Add()([base(first), base(second)]))
    assert list(weights_of(model)) == ["base/inner/kernel", "base/inner/bias"]


def test_variables_of_one_name_in_a_layer_are_told_apart():
    """A layer made of two others has two kernels, and both are kept."""
    from tf_keras import Sequential, layers

    wrapped = layers.Bidirectional(layers.SimpleRNN(2), name="both_ways")
    weights = weights_of(Sequential([layers.Input((3, 1)), wrapped]))
    assert len(weights) == 6
    assert {"both_ways/kernel", "both_ways/kernel.2"} <= weights.keys()
