"""Instructions: exact counts under valgrind, for which the time of day makes no difference."""


def test_instructions(tinyml_case):
    """One inference executes no more than half a percent more instructions than it did."""
    tinyml_case.count_instructions()
    tinyml_case.must_hold("instructions")
