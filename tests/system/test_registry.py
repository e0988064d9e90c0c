"""Names lead to one thing each, and a wrong name to an error that helps."""

from __future__ import annotations

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.system.registry import Registry, unknown_name


@pytest.fixture
def numbers():
    """Make a registry of three entries."""
    registry = Registry("number")
    for name, value in (("one", 1), ("two", 2), ("three", 3)):
        registry.add(name, value)
    return registry


def test_entries_come_back_in_the_order_of_their_registration(numbers):
    """Names, entries and length agree."""
    assert list(numbers) == ["one", "two", "three"]
    assert numbers.values() == [1, 2, 3]
    assert len(numbers) == 3
    assert "two" in numbers
    assert "four" not in numbers


def test_a_name_can_be_taken_once(numbers):
    """The second entry of a name is an error that says how to replace; the first one stays."""
    with pytest.raises(UsageError, match=r"number 'two' is registered already.*replace=True"):
        numbers.add("two", 22)
    assert numbers["two"] == 2


def test_a_replacement_takes_the_place_of_what_it_replaces(numbers):
    """Its position in every table stays the same."""
    numbers.add("two", 22, replace=True)
    assert numbers.values() == [1, 22, 3]


def test_a_replacement_wins_whichever_comes_first(numbers):
    """A conftest may be read before the module whose entry it replaces."""
    numbers.add("four", 44, replace=True)
    numbers.add("four", 4)
    assert numbers["four"] == 44


def test_the_last_replacement_wins(numbers):
    """Replacing twice is allowed."""
    numbers.add("two", 22, replace=True)
    numbers.add("two", 222, replace=True)
    assert numbers["two"] == 222


def test_an_unknown_name_lists_the_known_ones(numbers):
    """The nearest known name is suggested, and all are listed in a stable order."""
    with pytest.raises(UsageError) as caught:
        numbers["tree"]
    assert str(caught.value) == (
        "unknown number 'tree'; did you mean 'three'? Known: one, three, two"
    )


def test_a_name_like_no_other_gets_no_suggestion():
    """A far-fetched suggestion would only mislead."""
    assert unknown_name("number", "zzz", ["one"]) == "unknown number 'zzz'. Known: one"


def test_an_empty_registry_says_that_nothing_is_known():
    """The list of known names is never simply blank."""
    with pytest.raises(UsageError, match=r"Known: none$"):
        Registry("number")["one"]


def test_a_snapshot_puts_everything_back_as_often_as_asked(numbers):
    """Additions and replacements since the snapshot are gone, after each restoring."""
    restore = numbers.snapshot()
    for _ in range(2):
        numbers.add("two", 22, replace=True)
        numbers.add("four", 44, replace=True)
        restore()
        assert numbers.values() == [1, 2, 3]
    numbers.add("four", 4)
    assert numbers["four"] == 4
