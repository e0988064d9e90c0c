"""Weights that lost their zeros or their few values are found, and the layer is named."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.weight_claims import CLUSTERS, SPARSITY, broken, is_told, leftovers, lost
from tinyml_bench.metrics.tolerance import Tolerance
from tinyml_bench.records.structure import Operator, Structure
from tinyml_bench.records.weight_pattern import MANY, NOTHING, Pattern
from tinyml_bench.workloads.variants.compression import Compression

GOOD = Pattern(0.8, 16, 2)
CONV = Operator(0, "CONV_2D", "int8", "net/conv", "int8", "per-channel", 2000, 9000, pattern=GOOD)
DENSE = Operator(1, "FULLY_CONNECTED", "int8", "net/dense", "int8", "", 1500, 10, pattern=GOOD)
POLICY = Policy()


def file(conv: Any = None, dense: Any = None, **changes: Any) -> Structure:
    """Give a file of two layers; each argument is a pattern, or changes of the usual one."""
    operators = []
    for operator, given in ((CONV, conv), (DENSE, dense)):
        pattern = given if isinstance(given, Pattern) else dataclasses.replace(GOOD, **given or {})
        operators.append(dataclasses.replace(operator, pattern=pattern, **changes))
    return Structure(("int8",), ("int8",), tuple(operators))


@pytest.mark.parametrize("name", ["pruned80", "pruned2x4", "clustered16", "pqat", "cqat", "pcqat"])
def test_weights_that_are_as_claimed_pass(name: str) -> None:
    """Each family's claim holds of weights that have all patterns."""
    compression = Compression.parse(name)
    assert broken(compression, file()) == []
    assert list(leftovers(compression, file())) == []


@pytest.mark.parametrize(
    ("name", "pattern", "metric", "limit"),
    [
        ("pruned80", {"sparsity": 0.02}, SPARSITY, 0.799233),
        ("pruned50", {"sparsity": 0.49}, SPARSITY, 0.499233),
        ("pruned2x4", {"sparsity": 0.49, "zeros_in_four": 1}, SPARSITY, 0.499233),
        ("pqat", {"sparsity": 0.0}, SPARSITY, 0.799233),
        ("clustered16", {"values": 17}, CLUSTERS, 16),
        ("cqat", {"values": MANY}, CLUSTERS, 16),
        ("cqat24", {"values": 25}, CLUSTERS, 24),
        ("pcqat", {"sparsity": 0.5}, SPARSITY, 0.799233),
        ("pcqat", {"values": MANY}, CLUSTERS, 16),
    ],
)
def test_a_broken_claim_names_metric_layer_and_limit(
    name: str, pattern: dict[str, Any], metric: str, limit: float
) -> None:
    """And nothing is said of the other layer."""
    (loss,) = broken(Compression.parse(name), file(dense=pattern))
    assert (loss.metric, loss.operator.place, loss.then) == (metric, "net/dense", None)
    assert loss.limit == pytest.approx(limit, abs=1e-6)
    assert loss.now == next(iter(pattern.values()))


def test_a_share_is_rounded_to_whole_weights() -> None:
    """Of 1,500 weights one more may stay."""
    compression = Compression.parse("pruned80")
    assert broken(compression, file(dense={"sparsity": 0.7994})) == []
    assert broken(compression, file(dense={"sparsity": 0.7991})) != []


def test_the_worst_layer_comes_first() -> None:
    """Whatever its place."""
    found = broken(Compression.parse("pruned80"), file({"sparsity": 0.7}, {"sparsity": 0.1}))
    assert [str(loss) for loss in found] == [
        (
            "operator 1 FULLY_CONNECTED (net/dense): 10.00 % of its weights are zero, "
            "expected at least 79.92 %"
        ),
        "operator 0 CONV_2D (net/conv): 70.00 % of its weights are zero, expected at least 79.94 %",
    ]


def test_more_values_than_are_counted_are_said_so() -> None:
    """No number is made up."""
    (loss,) = broken(Compression.parse("clustered16"), file({"values": MANY}))
    assert str(loss).endswith("it has more than 64 different weights, expected at most 16")


@pytest.mark.parametrize(
    "changes", [{"elements": 1023}, {"name": "DEPTHWISE_CONV_2D"}, {"name": "ADD"}]
)
def test_nothing_is_claimed_of_small_kernels_and_other_operators(changes: dict[str, Any]) -> None:
    """They are not compressed."""
    assert broken(Compression.parse("pcqat"), file(Pattern(), Pattern(), **changes)) == []


def test_nothing_is_claimed_of_what_training_left_out() -> None:
    """On purpose; of its neighbour it is."""
    out = Pattern(is_left_out=True, values=MANY)
    (loss,) = broken(Compression.parse("pruned80"), file(out, Pattern()))
    assert loss.operator.place == "net/dense"
    assert list(leftovers(Compression.parse("pruned2x4"), file(out))) == []


def test_a_layer_of_which_no_count_says_anything_is_no_fault() -> None:
    """Its channels have too few weights."""
    assert broken(Compression.parse("cqat"), file({"values": 0})) == []


@pytest.mark.parametrize(
    ("name", "pattern", "words"),
    [
        ("pruned80", {"is_wrapped": True}, "still has the wrapper of its training"),
        ("clustered16", {"is_wrapped": True}, "still has the wrapper of its training"),
        ("qat", {"has_first_range": True}, "is quantized for exactly -6 to 6, where training"),
        ("pruned2x4", {"zeros_in_four": 1}, "has 1 zeros in some 4 weights that follow each other"),
    ],
)
def test_what_training_left_behind_names_the_layer(
    name: str, pattern: dict[str, Any], words: str
) -> None:
    """One sentence for the operator."""
    (sentence,) = leftovers(Compression.parse(name), file(pattern))
    assert sentence.startswith(f"operator 0 CONV_2D (net/conv) {words}")


def test_blocks_are_claimed_of_dense_layers_alone() -> None:
    """No encoding has those of convolutions; a convolution with few zeros is as it should be."""
    compression = Compression.parse("pruned80b1x16")
    plain = {"sparsity": 0.0, "values": MANY}
    assert broken(compression, file(plain, {"zero_block": 16})) == []
    assert list(leftovers(compression, file(plain, {"zero_block": 16}))) == []
    (loss,) = broken(compression, file(plain, {"sparsity": 0.5}))
    assert loss.operator.place == "net/dense"


@pytest.mark.parametrize(
    ("name", "block", "where"),
    [
        ("pruned80b1x16", 0, "lie alone along its inputs, expected blocks of 16"),
        ("pruned80b1x16", 8, "lie in blocks of 8 along its inputs, expected blocks of 16"),
        ("pqat80b4x4", 0, "lie alone along its inputs, expected blocks of 4"),
    ],
)
def test_zeros_that_are_spread_break_the_claim_of_blocks(name: str, block: int, where: str) -> None:
    """Their share is as it was; the layer is named."""
    (sentence,) = leftovers(Compression.parse(name), file(dense={"zero_block": block}))
    assert sentence == f"operator 1 FULLY_CONNECTED (net/dense) has zeros that {where}"


@pytest.mark.parametrize(("name", "block"), [("pruned80b1x4", 16), ("pruned80b1x3", 0)])
def test_wider_blocks_do_and_other_widths_are_not_looked_at(name: str, block: int) -> None:
    """Zeros in blocks of 16 are in blocks of 4; of blocks of 3 the share is claimed."""
    assert list(leftovers(Compression.parse(name), file(dense={"zero_block": block}))) == []


def test_the_layer_with_the_most_work_is_named_first() -> None:
    """Whatever its place in the file: the dense layer has 10 multiplications, now 10,000."""
    both = file({"is_wrapped": True}, {"is_wrapped": True})
    conv, dense = both.operators
    heavy = dataclasses.replace(both, operators=(conv, dataclasses.replace(dense, macs=10_000)))
    for structure, name in ((both, "CONV_2D"), (heavy, "FULLY_CONNECTED")):
        first, _ = leftovers(Compression.parse("pruned80"), structure)
        assert f" {name} " in first


def test_a_range_of_six_is_no_fault_without_training_for_int8() -> None:
    """Calibration may find it."""
    ranged = file({"has_first_range": True})
    assert list(leftovers(Compression.parse("pruned80"), ranged)) == []


@pytest.mark.parametrize(
    ("name", "zeros", "share"),
    [("pruned2x4", 2, 0.333), ("pruned2x4", 4, 0.333), ("pruned4x8", 4, 0.25)],
)
def test_a_pattern_that_holds_claims_no_share(name: str, zeros: int, share: float) -> None:
    """Of six channels four are a group and two are none; of three all are none."""
    compression = Compression.parse(name)
    first = file({"sparsity": share, "zeros_in_four": zeros})
    assert broken(compression, first) == []
    assert list(leftovers(compression, first)) == []


def test_of_longer_patterns_the_share_is_claimed() -> None:
    """Only groups of four are looked at."""
    compression = Compression.parse("pruned4x8")
    assert list(leftovers(compression, file({"zeros_in_four": 0}))) == []
    assert broken(compression, file({"sparsity": 0.4})) != []


@pytest.mark.parametrize(
    ("pattern", "metric", "then", "now"),
    [
        ({"sparsity": 0.78}, SPARSITY, 0.8, 0.78),
        ({"values": 17}, CLUSTERS, 16, 17),
        (NOTHING, CLUSTERS, 16, MANY),
        (NOTHING, SPARSITY, 0.8, 0.3),
    ],
)
def test_what_was_there_and_is_no_more_is_lost(
    pattern: Any, metric: str, then: float, now: float
) -> None:
    """Also where a file tells nothing any more."""
    found = [loss for loss in lost(file(), file(dense=pattern), POLICY) if loss.metric == metric]
    assert [(loss.operator.place, loss.then, loss.now) for loss in found] == [
        ("net/dense", then, now)
    ]


@pytest.mark.parametrize(
    "pattern",
    [{"sparsity": 0.79}, {"sparsity": 0.9}, {"values": 15}, {"values": 0}, {"zeros_in_four": 0}],
)
def test_what_is_within_the_tolerance_is_not_lost(pattern: dict[str, Any]) -> None:
    """A share of zeros may fall by a hundredth; fewer values are better."""
    assert lost(file(), file(dense=pattern), POLICY) == []


def test_the_tolerance_is_the_policy_s() -> None:
    """A project that can bear it says so."""
    policy = POLICY.with_overrides({"weight_sparsity": 0.05, "weight_clusters": 2})
    assert policy.tolerance("weight_sparsity") == Tolerance(absolute=0.05)
    assert lost(file(), file({"sparsity": 0.76, "values": 18}), policy) == []
    assert len(lost(file(), file({"sparsity": 0.74, "values": 19}), policy)) == 2


def test_a_baseline_that_tells_nothing_is_met_by_anything() -> None:
    """Those that were stored before patterns were known."""
    old = file(NOTHING, NOTHING)
    assert lost(old, file(), POLICY) == lost(old, old, POLICY) == []
    assert not is_told((old, None))
    assert is_told((old, file()))


def test_few_zeros_are_an_accident_and_not_lost() -> None:
    """One of sixteen values may have been zero."""
    assert lost(file(Pattern(0.06, 16)), file(Pattern(0.01, 16)), POLICY) == []


def test_an_accident_near_the_threshold_is_not_lost() -> None:
    """A file tells of zeros from a share on; just below it nothing is told."""
    old = file(Pattern(0.305), Pattern(0.1))
    assert lost(old, file(NOTHING, NOTHING), POLICY) == []
