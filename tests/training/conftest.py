"""What several tests of training need."""

import functools

import pytest
from compressible import STAGES, clustered, pruned, seeded, variable

from tinyml_bench.workloads.models import make_custom
from tinyml_bench.workloads.models.variables import weights_of


def make_network():
    """Return a network with two kernels large enough to be compressed, all weights seeded."""
    return seeded(make_custom((8, 8, 1), 2, stages=STAGES, dropout=0.0))


@pytest.fixture
def network():
    """Return a network with two kernels large enough to be compressed, all weights seeded."""
    return make_network()


@pytest.fixture(scope="session")
def compressed_weights():
    """Return functions that give the weights of the network, pruned or more, trained once."""
    pruned_once = functools.cache(lambda: pruned(make_network()))
    both_once = functools.cache(lambda: clustered(pruned_once(), "pcqat"))
    return lambda: weights_of(pruned_once()), lambda: weights_of(both_once())


@pytest.fixture
def pruned_network(network, compressed_weights):
    """Return the network pruned in few steps."""
    return _with(network, compressed_weights[0]())


@pytest.fixture
def pruned_clustered_network(network, compressed_weights):
    """Return the network pruned, then clustered so that the zeros stay."""
    return _with(network, compressed_weights[1]())


def _with(network, weights):
    for name, value in weights.items():
        variable(network, name).assign(value)
    return network
