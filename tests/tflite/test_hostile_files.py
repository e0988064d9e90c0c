"""Damaged and hostile ``.tflite`` files end in a model, an error in words or a dead worker."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections import Counter
from importlib.util import find_spec

import hostile
import numpy as np
import pytest
from tflite_models import (
    CUSTOM,
    FULLY_CONNECTED,
    INT32,
    RESHAPE,
    Model,
    Operator,
    Tensor,
    build,
    classifier,
)

from tinyml_bench.cli.commands import inspect
from tinyml_bench.errors import ModelFileError
from tinyml_bench.judging import format_claims
from tinyml_bench.records.structure import Structure
from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.system.workers.process import WorkerCrashed
from tinyml_bench.tflite import activation_memory, structure
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime

FILES = 2400
TRACED = 200  # they take ten times as long
RUN = 60
# All files here have less than 8 KB, and whatever is made of one has less than this.
MOST_BYTES = 4 << 20


def read_all(content: bytes) -> None:
    """Read a file as a run and ``tinyml-bench inspect`` do, without an interpreter."""
    model = read_model(content)
    made_of = structure.read(model)
    for one in (made_of, structure.read(model, content), structure.read(model, content, ())):
        assert Structure.from_json(one.to_json()) == one
    structure.unsupported_operators(model)
    activation_memory.peak(model)
    inspect.describe(model)
    inspect.as_dict(model)
    for claim in format_claims.CLAIMS:
        format_claims.lies(claim, made_of)


@pytest.mark.parametrize("content", hostile.seeds().values(), ids=list(hostile.seeds()))
def test_what_is_damaged_was_a_good_file(content: bytes) -> None:
    """Else all would be refused for what was wrong before."""
    read_all(content)


def test_the_damage_is_the_same_in_every_run_and_another_with_another_seed() -> None:
    """A file that breaks something can be made again."""
    assert list(hostile.files(30)) == list(hostile.files(30))
    assert list(hostile.files(30)) != list(hostile.files(30, seed=9))


def outcome(content: bytes) -> str:
    """Read a file; returns what came of it."""
    try:
        read_all(content)
    except ModelFileError:
        return "refused"
    return "read"


@pytest.mark.slow
def test_over_two_thousand_damaged_files_are_read_or_refused_in_words() -> None:
    """No other exception comes of any, and both outcomes are frequent."""
    outcomes = Counter(map(outcome, hostile.files(FILES)))
    assert outcomes.total() == FILES
    assert min(outcomes["read"], outcomes["refused"]) > FILES // 10


@pytest.mark.slow
def test_little_memory_is_taken_for_a_damaged_file() -> None:
    """Whatever number in it says that there is much."""
    tracemalloc.start()
    try:
        for content in hostile.files(TRACED, seed=4):
            tracemalloc.reset_peak()
            outcome(content)
            assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


# -- files that are made to take long: without the limits each takes minutes, or all memory --------


@pytest.mark.slow
def test_thousands_of_inputs_that_one_operator_takes_are_looked_up_once() -> None:
    """Which of them the graph is fed with is no search for each."""
    many = 30_000
    tensors = [Tensor("a", (1,))] * many
    everything = tuple(range(many))
    content = build(
        Model(
            tensors=tensors,
            operators=[Operator(RESHAPE, everything[::-1], (0,)), Operator(RESHAPE, (0,), (1,))],
            buffers=[b""],
            inputs=everything,
            outputs=everything[::-1],
        )
    )
    assert activation_memory.activation_bytes(read_model(content)) == 4 * many


def test_a_name_as_long_as_the_file_is_considered_in_part() -> None:
    """Thousands of operators are placed by it, each in the line of a report."""
    whole = hostile.chain(3000)
    named = [
        Tensor("x" * 200_000 + str(n), (1, 4)) if n < 8 else t for n, t in enumerate(whole.tensors)
    ]
    operators = [Operator(RESHAPE, (0, 3001), (1,))] * 3000
    content = build(Model(tensors=named, operators=operators, buffers=whole.buffers, outputs=(1,)))
    model = read_model(content)
    assert all(len(operator.place) <= 120 for operator in structure.read(model).operators)
    assert max(map(len, inspect.describe(model).splitlines())) <= inspect.WIDTH


@pytest.mark.slow
def test_where_operators_come_from_is_looked_for_once() -> None:
    """Thousands without a name of their own come after one with thousands of stored inputs."""
    many = 30_000
    stored = [Tensor("w", (1,), INT32, 1)] * many
    computed = [Tensor("Identity", (1,)), Tensor("Identity", (1,))]
    first = Operator(RESHAPE, tuple(range(many)), (many,))
    others = [Operator(RESHAPE, (many,), (many + 1,))] * 3000
    content = build(
        Model(
            tensors=[*stored, *computed],
            operators=[first, *others],
            buffers=[b"", b"1234"],
            inputs=(),
            outputs=(many + 1,),
        )
    )
    assert len(structure.read(read_model(content)).operators) == 3001


def test_graphs_that_share_all_of_their_tables_are_refused() -> None:
    """A small file could else hold millions of operators."""
    content = build(dataclasses.replace(hostile.chain(500), graphs=5000, shared=True))
    with pytest.raises(ModelFileError, match="more entries than the file has room for"):
        read_model(content)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"tensors": [Tensor("image", (1,) * 65)] * 5}, "a tensor has 65 sides"),
        ({"inputs": (0,) * 66}, "its inputs name the same tensors over and over"),
        ({"outputs": (4,) * 66}, "its outputs name the same tensors over and over"),
    ],
)
def test_what_no_network_has_is_refused(changes: dict[str, object], what: str) -> None:
    """The limits are far beyond any network, and a message says which one it was."""
    with pytest.raises(ModelFileError, match=what):
        read_model(build(classifier(**changes)))


def test_what_a_network_may_have_is_read() -> None:
    """The limits themselves are allowed."""
    sides = [Tensor("image", (1,) * 64)] * 5
    model = read_model(build(classifier(tensors=sides, inputs=(0,) * 65, outputs=(4,) * 65)))
    assert (len(model.inputs[0].shape), len(model.inputs), len(model.outputs)) == (64, 65, 65)


# -- with an interpreter -----------------------------------------------------------------------


def run(content: bytes, runtime: str) -> str:
    """Run a file on two samples in a worker."""
    runner = Runner(content, Runtime(runtime))
    sides = tuple(max(1, side) for side in runner.inputs[0].shape[1:])
    return str(runner.predict(np.ones((2, *sides), np.float32))[0].shape)


def installed_runtime() -> str:
    """Return the lighter of the installed interpreters."""
    for name, module in (("litert", "ai_edge_litert"), ("tf", "tensorflow")):
        if find_spec(module):
            return name
    pytest.skip("needs an interpreter")


@pytest.mark.slow
def test_damaged_files_kill_workers_at_most_and_the_next_file_runs() -> None:
    """Sixty files that can be read, one that kills for certain, and a good one behind them."""
    runtime = installed_runtime()
    readable = [content for content in hostile.files(FILES, seed=3) if outcome(content) == "read"][
        :RUN
    ]
    assert len(readable) == RUN
    with IsolatedExecutor(1, 60.0) as executor:
        futures = [executor.submit(run, content, runtime) for content in [*readable, deadly()]]
        good = executor.submit(run, build(classifier()), runtime)
        ended = [future.exception() for future in futures]
        assert good.result() == "(2, 3)"
    assert isinstance(ended[-1], WorkerCrashed)
    assert "killed by SIGSEGV" in str(ended[-1])
    assert None in ended[:-1]
    assert any(isinstance(error, ModelFileError) for error in ended)


def deadly() -> bytes:
    """Give a file whose operator the interpreter knows, and dies of: it lacks all options."""
    return build(classifier(operators=[Operator(CUSTOM, (0,), (4,), custom="Mfcc")]))


# -- operators that need more than an interpreter --------------------------------------------------


def custom(*names: str) -> tuple[str, ...]:
    """Give the unsupported operators of a file that has these custom ones."""
    operators = [Operator(CUSTOM, (0,), (4,), custom=name) for name in names]
    plain = Operator(FULLY_CONNECTED, (2, 3, -1), (4,))
    return structure.unsupported_operators(
        read_model(build(classifier(operators=[*operators, plain], graphs=2)))
    )


def test_custom_and_flex_operators_are_named_once_in_the_order_of_the_file() -> None:
    """In all graphs of the file."""
    assert custom("FlexErf", "Whirl", "FlexErf") == ("FlexErf", "Whirl")
    assert custom() == ()


def test_custom_operators_that_interpreters_bring_along_are_none() -> None:
    """Such as the audio front end and the last step of a detector."""
    assert custom("AudioSpectrogram", "Mfcc", "TFLite_Detection_PostProcess", "Twirl") == ("Twirl",)


def test_a_custom_operator_s_name_is_one_printable_line() -> None:
    """It goes into messages."""
    assert custom("a\nb") == ("a?b",)
