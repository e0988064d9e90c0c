"""Faults of a run that must not be green: nothing was judged, or the wrong thing."""

from __future__ import annotations

import re
from collections.abc import Callable

from trust.answers import Answer, first_line
from trust.catalogue import plant
from trust.scene import Stage
from trust.toy import Toy

FAMILY = "run"


def _ends(
    stage: Stage, prepare: Callable[[Toy], None], words: str, *arguments: str
) -> list[Answer]:
    """Run the toy after `prepare`; a red exit is told by the first line that has the `words`."""
    toy = Toy.stored(stage.scratch())
    prepare(toy)
    status, output = toy.run(*arguments)
    if status == 0:
        return []
    lines = [line.strip() for line in output.splitlines() if re.search(words, line)]
    line = first_line((lines or ["?"])[0])
    return [Answer("refused", f"exit status {status}: {line}", "session")]


def _fault(name: str, words: str, planted: str, *arguments: str) -> Callable[..., object]:
    def register(prepare: Callable[[Toy], None]) -> Callable[[Toy], None]:
        def probe(stage: Stage) -> list[Answer]:
            return _ends(stage, prepare, words.partition(": ")[2], *arguments)

        probe.__doc__ = planted
        plant(name, FAMILY, gate="session", verdict="refused", words=words)(probe)
        return prepare

    return register


@_fault("nothing selected", "exit status 5: .*deselected", "The selection matches no case.",
        "-k", "no_such_case")  # fmt: skip
def _nothing(toy: Toy) -> None:
    """Leave it as it is."""


@_fault("data missing", "exit status 2: .*no case was judged", "No dataset is where it should be.")
def _missing(toy: Toy) -> None:
    toy.set("trouble.json", tf="missing", float32="missing", int8="missing")


@_fault("data missing of a case asked for", "exit status 1: .*none of the places tried",
        "The dataset of the one case that was named is missing.", "-k", "toy-net-int8")  # fmt: skip
def _missing_one(toy: Toy) -> None:
    toy.set("trouble.json", int8="missing")


@_fault("every test skipped", "exit status 2: .*no case was judged", "A marker skips every test.")
def _skipped(toy: Toy) -> None:
    toy.write("test_gates.py", (
        "import pytest\n@pytest.mark.skip(reason='planted')\n"
        "def test_accuracy(tinyml_case):\n    tinyml_case.must_hold('accuracy')\n"
    ))  # fmt: skip


@_fault("nothing judged", "exit status 2: .*no case was judged", "The tests ask for no verdict.")
def _toothless(toy: Toy) -> None:
    toy.write("test_gates.py", "def test_accuracy(tinyml_case): pass\n")


@_fault("duplicate case", "exit status [1-4]: .*'toy-twin' is registered already",
        "Two workloads of one name are registered.")  # fmt: skip
def _duplicate(toy: Toy) -> None:
    text = (toy.folder / "conftest.py").read_text(encoding="utf-8")
    toy.write("conftest.py", text + 2 * (
        '\n@workload("toy-twin")\ndef twin():\n    raise AssertionError("never built")\n'
    ))  # fmt: skip


@_fault(
    "unknown metric",
    "exit status 1: .*(unknown gated metric|acuracy)",
    "A test asks for 'acuracy'.",
)
def _misspelt(toy: Toy) -> None:
    toy.write("test_gates.py", "def test_accuracy(tinyml_case): tinyml_case.must_hold('acuracy')\n")


@_fault("unknown tolerance", "exit status 2: .*unknown gated metric",
        "The policy names a metric that there is not.")  # fmt: skip
def _tolerance(toy: Toy) -> None:
    toy.write("pyproject.toml", "[tool.tinyml_bench.tolerances]\nacuracy = 0.1\n")


@_fault("regression in a whole run", r"exit status 1: .*int8 accuracy: 0\.9000 -> 0\.8000, limit",
        "100 more of 1,000 images are wrong.")  # fmt: skip
def _worse(toy: Toy) -> None:
    toy.set("facts.json", int8={"wrong": 200})


@_fault("worse baseline without a reason", "exit status 1: .*--reason",
        "A baseline is to be rewritten with a worse value, and nobody says why.",
        "--baseline-update")  # fmt: skip
def _unreasoned(toy: Toy) -> None:
    toy.set("facts.json", int8={"wrong": 200})


@_fault("known deviation that is gone", "exit status 1: .*no longer occurs, remove me",
        "A deviation that was excused does not occur any more, and the excuse stays.")  # fmt: skip
def _gone(toy: Toy) -> None:
    toy.write("pyproject.toml", (
        '[[tool.tinyml_bench.deviations]]\ncase = "*-int8"\nmetric = "size_bytes"\n'
        'reason = "a converter bug"\n'
    ))  # fmt: skip
