"""Conversions: what the file of a case depends on."""

from tinyml_bench.measuring.conversion import conversion_key
from tinyml_bench.measuring.worker_tasks import Description
from tinyml_bench.workloads.variants.recipes import VARIANTS

DESCRIPTION = Description("network", "weights", "test", "calibration", 2500, 4000, 3000, 12000)


def test_a_conversion_depends_on_the_compressed_network():
    """Trained anew, it is converted anew; formats of one compression are told apart as ever."""
    family = VARIANTS["pruned80_int8"]
    keys = [conversion_key(family, DESCRIPTION, sha256) for sha256 in ("one", "other")]
    keys.append(conversion_key(VARIANTS["int8"], DESCRIPTION))
    keys.append(conversion_key(VARIANTS["pruned80_float32"], DESCRIPTION, "one"))
    assert len(set(keys)) == 4
