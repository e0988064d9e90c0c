"""Known differences of a toolchain: ``baselines/<workload>/overlays.toml``."""

import pytest
from making import SIZE_OVERLAY


@pytest.fixture
def overlaid(toy_project):
    """Return a project that knows that int8 is larger with TensorFlow before 2.17."""
    toy_project.write_baselines()
    overlays(toy_project).write_text(SIZE_OVERLAY)
    return toy_project


def overlays(project):
    """Return where the overlays of the toy workload lie."""
    return project.baseline("int8").with_name("overlays.toml")


@pytest.mark.slow
def test_an_overlay_is_expected_where_it_holds_and_told(overlaid):
    """The run passes and names it; it is no licence for another case."""
    overlaid.change("int8", size_bytes=2001, tensorflow="2.16.2")
    outcome = overlaid.run()
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(
        ["by the overlay for tensorflow<2.17: dense layers*: toy-net-int8 size_bytes"]
    )
    overlaid.change("float32", size_bytes=2001, tensorflow="2.16.2")
    assert overlaid.run().ret == 1


def test_it_is_no_wider_tolerance(overlaid):
    """Beyond its own limit the case fails; the sentence says by what it was judged."""
    overlaid.change("int8", size_bytes=2021, tensorflow="2.16.2")
    outcome = overlaid.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        ["toy-net-int8 size_bytes: 2000 -> 2021, limit 2020; by the overlay for tensorflow<2.17*"]
    )


@pytest.mark.slow
def test_it_is_nothing_to_other_versions(overlaid):
    """There the baseline itself is expected."""
    assert overlaid.run().ret == 0
    overlaid.change("int8", size_bytes=2000, tensorflow="2.17.0")
    assert overlaid.run().ret == 1


def test_one_that_no_longer_applies_fails(overlaid):
    """The message says to remove it, and where it stands."""
    overlaid.change("int8", tensorflow="2.16.2")
    outcome = overlaid.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        ["toy-net-int8 size_bytes: *overlays.toml, *no. 1 no longer applies*remove me*"]
    )


@pytest.mark.slow
def test_without_it_the_case_fails(overlaid):
    """The overlay is what lets it pass."""
    overlaid.change("int8", size_bytes=2000, tensorflow="2.16.2")
    assert overlaid.run().ret == 0
    overlays(overlaid).unlink()
    assert overlaid.run().ret == 1


@pytest.mark.parametrize("option", ["--baseline-update", "--baseline-update-new"])
def test_what_it_tells_is_never_stored(overlaid, option):
    """Neither over the baseline nor as a new one; the message names the overlay."""
    overlaid.change("int8", size_bytes=2000, tensorflow="2.16.2")
    path = overlaid.baseline("int8")
    stored = path.read_bytes()
    if option == "--baseline-update-new":
        path.unlink()
    outcome = overlaid.run(option)
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        ["ERROR: *int8.json: not written, size_bytes is known to differ*overlays.toml*"]
    )
    assert not path.exists() or path.read_bytes() == stored


def test_a_malformed_one_fails_each_case_of_the_workload(overlaid):
    """With the file and the nearest known word, whatever version runs."""
    overlays(overlaid).write_text(SIZE_OVERLAY.replace('"size_bytes"', '"size_byte"'))
    outcome = overlaid.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*overlays.toml*unknown metric 'size_byte'; did you mean*"])
