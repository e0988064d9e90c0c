"""Structure: a variant is what its name says, and needs no more memory than it did."""


def test_structure(tinyml_case):
    """Every operator computes in the type that the name promises, as it did before."""
    tinyml_case.must_hold("structure", "activation_bytes")
