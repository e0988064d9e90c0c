"""Latency: one inference, timed in turns with the float32 sibling of the same moment."""


def test_latency(tinyml_case, benchmark):
    """One inference takes no larger multiple of the float32 sibling's time than it did."""
    tinyml_case.time(benchmark)
    tinyml_case.must_hold("latency_ratio")
