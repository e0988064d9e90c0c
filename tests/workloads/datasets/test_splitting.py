"""Parts are in proportion, and the same ones for ever."""

from __future__ import annotations

import pytest

from tinyml_bench.workloads.datasets.splitting import grouped, in_turn, shares, shuffled


def test_shuffling_never_changes() -> None:
    """The order for a seed is pinned, because stored lists follow from it."""
    assert shuffled("abcdefgh", 1) == ["h", "c", "b", "g", "a", "e", "d", "f"]


def test_shuffling_keeps_all() -> None:
    """Each thing is there once."""
    assert sorted(shuffled(range(100), 2)) == list(range(100))


@pytest.mark.parametrize("total", [0, 1, 45, 840, 6585, 7470])
def test_shares_sum_up_and_are_in_proportion(total: int) -> None:
    """No share is off by one or more from the exact proportion."""
    sizes = {"nv": 5403, "bkl": 727, "mel": 614, "bcc": 327, "akiec": 228, "vasc": 98, "df": 73}
    given = shares(total, sizes)
    assert sum(given.values()) == total
    assert all(abs(given[name] - total * sizes[name] / 7470) < 1 for name in sizes)


def test_equal_remainders_go_by_name() -> None:
    """A tie has one outcome, whatever the order of the mapping."""
    assert shares(1, {"b": 1, "a": 1}) == {"a": 1, "b": 0}


def test_taking_in_turn_keeps_prefixes_balanced() -> None:
    """Each class comes once before any comes twice; none is lost where classes differ in size."""
    assert in_turn([["a1", "a2", "a3"], ["b1"], ["c1", "c2"]]) == [
        "a1", "b1", "c1", "a2", "c2", "a3",
    ]  # fmt: skip
    assert in_turn([]) == []


def test_groups_keep_order() -> None:
    """Things of one name stay together in the order given."""
    assert grouped([3, 1, 4, 1, 5], lambda n: "even" if n % 2 == 0 else "odd") == {
        "odd": [3, 1, 1, 5],
        "even": [4],
    }
