"""An overlay replaces one expected value under the versions it names, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from making import make_baseline, make_case, make_measurement

from tinyml_bench.errors import BaselineError
from tinyml_bench.records.structure import Operator, Structure
from tinyml_bench.storage import baselines
from tinyml_bench.storage.baselines import overlays

ROOT = Path(__file__).parents[3]
VARIANTS = ("tf", "float32", "int8")
OPERATORS = tuple(
    Operator(index, "FULLY_CONNECTED", "int8", f"net/{index}", "int8", "per-channel", 9, 9)
    for index in range(2)
)
STRUCTURE = Structure(("int8",), ("int8",), OPERATORS)
PER_TENSOR = "FULLY_CONNECTED | int8 | int8 | per-tensor | 9 | 9 | - | net/1"

LATENCY = """
[[overlay]]
variants = ["int8"]
tensorflow = "<2.17"
metric = "latency_ratio"
value = 1.05
reason = "kernels"
link = "https://example.org/1"
"""
GRAPH = f"""
[[overlay]]
variants = ["int8", "float32"]
tensorflow = "==2.15.*"
metric = "structure"
operators = {{ 1 = "{PER_TENSOR}" }}
reason = "dense layers"
link = "https://example.org/2"
"""


def write(folder: Path, text: str) -> Path:
    """Write the overlays of the workload that all records of the tests are of."""
    path = overlays.path_of(folder, make_case().workload)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(folder: Path, text: str = LATENCY) -> tuple[overlays.Overlay, ...]:
    """Write `text` and read it."""
    write(folder, text)
    return overlays.read(folder, make_case().workload, VARIANTS)


def refused(folder: Path, text: str) -> str:
    """Return what is said of `text`, which names the file."""
    with pytest.raises(BaselineError) as caught:
        read(folder, text)
    message = str(caught.value)
    assert message.startswith(str(overlays.path_of(folder, make_case().workload)))
    return message


def under(version: str, package: str = "tensorflow", variant: str = "int8"):
    """Make a measurement with a version of TensorFlow."""
    return make_measurement(variant=variant, provenance={"toolchain": {package: version}})


# -- reading --------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path):
    """Every key, and where the table stands."""
    latency, graph = read(tmp_path, LATENCY + GRAPH)
    assert (latency.variants, latency.metric, latency.value) == (("int8",), "latency_ratio", 1.05)
    assert str(latency) == "tensorflow<2.17: kernels (https://example.org/1)"
    assert graph.operators == {1: PER_TENSOR}
    assert graph.source.endswith("overlays.toml, [[overlay]] no. 2")


def test_no_file_is_no_overlay(tmp_path):
    """Most workloads need none."""
    assert overlays.read(tmp_path, "tiny-cnn", VARIANTS) == ()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[[overlay]]", "[[overlay", "not TOML"),
        ("[[overlay]]", "[[overlays]]", "unknown key 'overlays'; did you mean 'overlay'?"),
        ("[[overlay]]", "[overlay]", "each begun by [[overlay]]"),
        ("reason =", "reasons =", "no. 1: unknown key 'reasons'; did you mean 'reason'?"),
        ('["int8"]', '["int9"]', "unknown variant 'int9'; did you mean 'int8'?"),
        ('["int8"]', "[]", "expected a list of variants"),
        ('["int8"]', '["int8", "int8"]', "each once"),
        ('"<2.17"', '"before 2.17"', "expected versions as PEP 440 has them"),
        ('"<2.17"', "2.17", "expected a text"),
        ("latency_ratio", "latency", "unknown metric 'latency'; did you mean 'latency_ratio'?"),
        ("latency_ratio", "accuracy", "'accuracy', which no single value tells"),
        ("latency_ratio", "latency_ns", "'latency_ns', which no single value tells"),
        ("1.05", '"1.05"', "expected a number"),
        ("1.05", "nan", "expected a number"),
        ("1.05", "true", "expected a number"),
        ("value = 1.05", "", "lacks 'value'"),
        ("value = 1.05", "operators = {}", "given by 'value', not 'operators'"),
        ('reason = "kernels"', 'reason = " "', "expected a text"),
        ('link = "https://example.org/1"', "", "lacks 'link'"),
        ("https://example.org/1", "somewhere", "expected the address"),
        ('"int8"', "8", "expected a list of variants"),
    ],
)
def test_what_is_malformed_is_named(tmp_path, old, new, words):
    """With file, table and the nearest known word."""
    assert words in refused(tmp_path, LATENCY.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (f'{{ 1 = "{PER_TENSOR}" }}', "{}", "expected a table of operators"),
        ("{ 1 =", "{ one =", "'one' is no place of an operator"),
        (f'"{PER_TENSOR}"', "1", "expected a text"),
        ("operators =", "value =", "given by 'operators', not 'value'"),
    ],
)
def test_what_is_malformed_of_a_structure_is_named(tmp_path, old, new, words):
    """As of a figure."""
    assert words in refused(tmp_path, GRAPH.replace(old, new))


@pytest.mark.parametrize(
    ("first", "second", "version"),
    [
        ("<2.17", ">=2.16", "2.16"),
        ("<2.17", "<2.16", "2.15"),
        (">2.15,<2.16", "<2.17", "2.15.1"),
        ("==2.15.*", "<2.16", "2.15"),
        (">=2.15", "==2.18.1", "2.18.1"),
        ("!=2.16.*", ">=2.15", "2.15"),
    ],
)
def test_two_expected_values_of_one_version_are_refused(tmp_path, first, second, version):
    """Whatever version runs now; the message names one that is in both."""
    text = LATENCY.replace("<2.17", first) + LATENCY.replace("<2.17", second)
    message = refused(tmp_path, text)
    assert "no. 2: gives latency_ratio of int8 another value" in message
    assert f"TensorFlow {version} than [[overlay]] no. 1" in message


@pytest.mark.parametrize(
    "second",
    [
        LATENCY.replace("<2.17", ">=2.17,<2.18"),
        LATENCY.replace('["int8"]', '["float32"]'),
        LATENCY.replace("latency_ratio", "size_bytes"),
    ],
)
def test_overlays_side_by_side_are_fine(tmp_path, second):
    """Of other versions, variants or metrics."""
    assert len(read(tmp_path, LATENCY + second)) == 2


# -- holding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measurement", "count"),
    [
        (under("2.16.2"), 1),
        (under("2.15.1"), 2),
        (under("2.17.0"), 0),
        (under("2.17.0.dev20240101", "tf-nightly"), 0),
        (under("2.16.0.dev20240101", "tf-nightly"), 1),
        (under("1.0", "ai-edge-litert"), 0),
        (under("2.15.1", variant="float32"), 1),
        (under("2.15.1", variant="tf"), 0),
        (replace(under("2.15.1"), provenance=None), 0),
    ],
)
def test_an_overlay_holds_where_it_says(tmp_path, measurement, count):
    """For its variants under its versions; without TensorFlow none does."""
    write(tmp_path, LATENCY + GRAPH)
    assert len(overlays.holding(tmp_path, measurement, VARIANTS)) == count


def test_a_version_of_its_own_kind_is_an_error(tmp_path):
    """It is not guessed whether an overlay holds."""
    write(tmp_path, LATENCY)
    with pytest.raises(BaselineError, match="'home-made', which is no version"):
        overlays.holding(tmp_path, under("home-made"))


# -- applying -------------------------------------------------------------------------------------


def test_one_figure_is_replaced_and_no_other(tmp_path):
    """Images, provenance and all other facts are the baseline's."""
    baseline = make_baseline(latency_ratio=0.4)
    expected = overlays.applied(baseline, read(tmp_path))
    assert expected.facts == {**baseline.facts, "latency_ratio": 1.05}
    assert replace(expected, facts=baseline.facts) == baseline


def test_one_operator_is_replaced_and_no_other(tmp_path):
    """The rest of the graph is expected as it was."""
    baseline = replace(make_baseline(), structure=STRUCTURE)
    expected = overlays.applied(baseline, read(tmp_path, GRAPH)).structure
    assert expected.operators[0] == OPERATORS[0]
    assert expected.operators[1] == replace(OPERATORS[1], granularity="per-tensor")
    assert replace(expected, operators=OPERATORS) == STRUCTURE


@pytest.mark.parametrize(
    ("text", "baseline", "words"),
    [
        (LATENCY, make_baseline(without=("latency_ratio",)), "holds no latency_ratio"),
        (LATENCY, make_baseline(latency_ratio=1.05), "just what .* expects, remove me"),
        (GRAPH, make_baseline(), "holds no structure"),
        (
            GRAPH.replace("per-tensor", "per-channel"),
            replace(make_baseline(), structure=STRUCTURE),
            "just what .* expects, remove me",
        ),
        (
            GRAPH.replace("1 =", "7 ="),
            replace(make_baseline(), structure=STRUCTURE),
            "has no operator 7, the last is 1",
        ),
        (
            GRAPH.replace(" | net/1", ""),
            replace(make_baseline(), structure=STRUCTURE),
            "an operator of 7 columns, expected 8",
        ),
    ],
)
def test_an_overlay_that_does_not_go_with_its_baseline_is_an_error(tmp_path, text, baseline, words):
    """It names the table."""
    with pytest.raises(BaselineError, match=rf"no\. 1: .*{words}"):
        overlays.applied(baseline, read(tmp_path, text))


# -- never stored ---------------------------------------------------------------------------------


def update(folder: Path, measurement, *, rewrite: bool):
    """Update the baselines below `folder` from `measurement`."""
    return baselines.update(folder, measurement, (), rewrite=rewrite, reason="why")


@pytest.mark.parametrize("rewrite", [True, False])
def test_a_baseline_is_not_written_under_a_toolchain_that_differs(tmp_path, rewrite):
    """Neither created nor rewritten; the message names the overlay."""
    path = write(tmp_path, LATENCY)
    with pytest.raises(BaselineError, match=r"not written, latency_ratio .* no\. 1: tensorflow<"):
        update(tmp_path, under("2.16.2"), rewrite=rewrite)
    assert list(path.parent.glob("*.json")) == []
    assert update(tmp_path, under("2.17.0"), rewrite=rewrite) is not None


def test_what_is_missing_is_added_but_for_what_differs(tmp_path):
    """Another figure may come from there, the overlaid one not."""
    update(tmp_path, replace(under("2.17.0"), facts={"size_bytes": 1, "latency_ratio": 1}),
           rewrite=False)  # fmt: skip
    write(tmp_path, LATENCY)
    added = update(tmp_path, under("2.16.2"), rewrite=False)
    assert "gzip_bytes" in {name for name, *_ in added.facts}
    write(tmp_path, LATENCY.replace("latency_ratio", "arena_bytes"))
    with pytest.raises(BaselineError, match="arena_bytes is known to differ"):
        update(tmp_path, under("2.16.2"), rewrite=False)


# -- what is committed ----------------------------------------------------------------------------


def test_an_unsound_overlay_is_a_problem_of_the_folder(tmp_path):
    """Of a variant without baseline, of a value that it lacks, or where nothing reads it."""
    update(tmp_path, under("2.17.0"), rewrite=False)
    path = write(tmp_path, LATENCY)
    assert baselines.problems(tmp_path) == []
    path.write_text(GRAPH.replace('"int8", ', ""))
    assert "unknown variant 'float32'" in baselines.problems(tmp_path)[0]
    path.write_text(LATENCY.replace("latency_ratio", "npu_cycles"))
    assert "holds no npu_cycles" in baselines.problems(tmp_path)[0]
    stray = path.rename(tmp_path / "overlays.toml")
    assert baselines.problems(tmp_path)[0].startswith(f"{stray}: nothing reads it")


def test_the_committed_overlays_are_sound():
    """Each goes with its baseline, and links to upstream."""
    assert baselines.problems(ROOT / "baselines") == []
    there = overlays.read(ROOT / "baselines", "fashion_mnist-custom")
    assert {overlay.metric for overlay in there} == {"structure", "latency_ratio"}
