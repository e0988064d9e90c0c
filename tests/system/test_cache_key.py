"""A key is the same for the same parts, and different for different ones."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from tinyml_bench.system.cache_key import key


def test_the_order_of_names_does_not_count():
    """Parts and nested mappings are sets of names."""
    assert key(a=1, b={"x": 1, "y": "z"}) == key(b={"y": "z", "x": 1}, a=1)


def test_a_key_is_stable_across_processes():
    """The key is the same in any process, and in any release: caches outlive both."""
    program = "from tinyml_bench.system.cache_key import key; print(key(n=1, x=0.1, s='\\u00e9'))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert outputs == {key(n=1, x=0.1, s="\u00e9")}
    assert key(n=1) == "2bfd14f43d17fc7cea24e0917a8879b4b2f880b8baeec1b9d90fbaad655e71bd"


def test_different_parts_have_different_keys():
    """Values, their types, names and nesting all count."""
    parts = [
        {},
        {"a": 1},
        {"a": 1.0},
        {"a": "1"},
        {"a": True},
        {"b": 1},
        {"a": {}},
        {"a": {"b": 1}},
        {"a": "", "b": 1},
        {"a": '{"b":1}'},
    ]
    for one, other in itertools.combinations(parts, 2):
        assert key(**one) != key(**other), (one, other)


@pytest.mark.parametrize(
    "part", [None, [1], (1,), {1}, b"x", object(), np.float32(1), np.int64(1), {"a": [1]}, {1: 2}]
)
def test_other_types_are_refused(part):
    """What has no canonical text is an error that names the place."""
    with pytest.raises(TypeError, match=r"key\.part"):
        key(part=part)
