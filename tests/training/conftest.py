"""What several tests of training need."""

import pytest
from compressible import STAGES, seeded

from tinyml_bench.workloads.models import make_custom


@pytest.fixture
def network():
    """Return a network with two kernels large enough to be compressed, all weights seeded."""
    return seeded(make_custom((8, 8, 1), 2, stages=STAGES, dropout=0.0))
