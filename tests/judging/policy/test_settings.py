"""What is wrong in a pyproject.toml is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.settings import Settings, WrongSettingError, below

TEXT = '''\
[project]
name = "x"
description = """
[tool.tinyml_bench] is described here
"""

[tool.other]
a = [
  1,
]

[tool.tinyml_bench]
workloads = [
  "a.py",  # one
  "b.py",
]
baselines = "b"

[tool.tinyml_bench.policy."a-b"]
budget = { ram = 1, flash = 2 }

# a word
[tool.tinyml_bench.policy."a-b".tolerances]
accuracy = 0.1

[[tool.tinyml_bench.deviations]]
case = "*"

[[tool.tinyml_bench.deviations]]
reason = """
of two lines
"""
metric = "x"
'''


@pytest.fixture
def settings(tmp_path):
    """Return the settings of the file above."""
    path = tmp_path / "pyproject.toml"
    path.write_text(TEXT)
    return Settings.read(path)


def number_of(start: str) -> int:
    """Return the number of the only line that begins like this."""
    (found,) = [n for n, line in enumerate(TEXT.splitlines(), 1) if line.startswith(start)]
    return found


@pytest.mark.parametrize(
    ("keys", "start"),
    [
        (("workloads",), "workloads"),
        (("workloads", 1), "workloads"),
        (("baselines",), "baselines"),
        (("policy", "a-b"), '[tool.tinyml_bench.policy."a-b"]'),
        (("policy", "a-b", "budget", "ram"), "budget"),
        (("policy", "a-b", "tolerances", "accuracy"), "accuracy"),
        (("deviations", 0, "case"), "case"),
        (("deviations", 1, "reason"), "reason"),
        (("deviations", 1, "metric"), "metric"),
        (("policy", "a-b", "nowhere"), '[tool.tinyml_bench.policy."a-b"]'),
        (("nowhere",), "[tool.tinyml_bench]\n"),
        ((), "[tool.tinyml_bench]\n"),
    ],
)
def test_each_setting_has_its_line(settings, keys, start):
    """The one on which its statement begins; what is not there has the table's that lacks it."""
    lines = TEXT.splitlines(keepends=True)
    expected = next(
        n for n, line in enumerate(lines, 1) if line.startswith(start) and n > number_of("[tool.o")
    )
    assert settings.line(*keys) == expected


@pytest.mark.parametrize(
    "text",
    [
        "tool.tinyml_bench.baselines = 'x'\n",
        "[tool]\ntinyml_bench = {baselines = 'x'}\n",
        "a = '''\n[tinyml_bench\n'''\n[tool.tinyml_bench]\nbaselines = 'x'\n",
        "[tool]\n[tool.tinyml_bench]\n\n\nbaselines = 'x'",
    ],
)
def test_a_setting_has_a_line_however_it_is_written(tmp_path, text):
    """As a dotted key, in an inline table, or after a text that looks like a header."""
    path = tmp_path / "pyproject.toml"
    path.write_text(text)
    expected = next(n for n, line in enumerate(text.splitlines(), 1) if "baselines" in line)
    assert Settings.read(path).line("baselines") == expected


def test_what_is_wrong_is_located_from_inside_out(settings):
    """The keys of each level are put together; a plain error gets the line as well."""
    with pytest.raises(UsageError) as error, settings.located(), below("policy", "a-b"):
        raise WrongSettingError("too much", "tolerances", "accuracy")
    assert str(error.value) == f"{settings.source}:{number_of('accuracy')}: too much"


def test_without_the_text_the_file_is_named():
    """A table that was made elsewhere has no lines."""
    assert Settings("it.toml", {}).place("baselines") == "it.toml"


@pytest.mark.parametrize("text", ["[tool]\ntinyml_bench = 1\n", "tool = 1\n"])
def test_settings_are_a_table(tmp_path, text):
    """Anything else is refused, the file named."""
    path = Path(tmp_path / "pyproject.toml")
    path.write_text(text)
    with pytest.raises(UsageError, match="must be a table") as error:
        Settings.read(path)
    assert str(path) in str(error.value)
