"""Size: no variant may grow, on disk or over the wire."""


def test_size(tinyml_case):
    """The model file, its gzip size and the share saved hold."""
    tinyml_case.must_hold("size_bytes", "gzip_bytes", "size_reduction")
