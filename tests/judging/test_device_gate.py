"""What a device would meet gets no worse unseen, and what could not be measured is said once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from making import make_baseline, make_measurement, make_provenance

from tinyml_bench import reporting
from tinyml_bench.judging.gates import GATED
from tinyml_bench.judging.judge import judge_case
from tinyml_bench.judging.policy.boards import Board, Budget
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.tolerance import Tolerance
from tinyml_bench.records.deployment import FACTS, Deployment
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.devices.parity import Difference, Parity
from tinyml_bench.records.finding import Verdict

POLICY = Policy()
ARENA = {"arena_bytes": 50_000, "arena_activation_bytes": 40_000, "arena_persistent_bytes": 10_000}
CYCLES = {"npu_cycles": 1_000_000, "npu_sram_bytes": 60_000, "npu_flash_bytes": 200_000}
FIGURES = {**ARENA, **CYCLES}
GATED_FIGURES = [name for name in FIGURES if name in GATED]
PARTS = [*FACTS, *GATED_FIGURES]

MICRO = Micro(images=256, version="0.1")
LACKING = Micro("it has no kernel for CUSTOM", ("CUSTOM",), version="0.1")
NPU = Npu("ethos-u55-128", "", ("SOFTMAX (softmax)",), 9, 5e8, "4.2")
REFUSED = Npu("ethos-u55-128", "the model computes in float", clock_hz=5e8)
DIFFERENCES = (
    Difference("xnnpack", "reference", 1, 2.0),
    Difference("xnnpack", "micro", 1, 2.0),
    Difference("reference", "micro", 0, 0.0),
)
PARITY = Parity(256, DIFFERENCES)
FULL = Deployment(MICRO, NPU, PARITY)
NO_MICRO = "tflite-micro is not installed; pip install 'tinyml-bench[micro]'"
NO_VELA = "ethos-u-vela is not installed; pip install 'tinyml-bench[npu]'"


def measured(deployment=FULL, facts=FIGURES, **changes):
    """Make a measurement that met a device."""
    return replace(make_measurement(**{**facts, **changes}), deployment=deployment)


def stored(deployment=FULL, facts=FIGURES):
    """Make the baseline that :func:`measured` matches by default."""
    return replace(make_baseline(**facts), deployment=deployment)


def found(now, then=None, metrics=PARTS, policy=POLICY):
    """Judge what was measured against what is stored."""
    return judge_case(now, stored() if then is None else then, policy, metrics)


def the(metric, now, then=None):
    """Return the only finding on one metric, which it is about."""
    (finding,) = found(now, then, [metric])
    assert finding.metric == metric
    return finding


def first_line(finding):
    """Return what a failing test says first."""
    return reporting.failure([finding]).splitlines()[0]


def test_what_did_not_change_matches():
    """Old disagreement, operators on the CPU and all; one finding a gate."""
    judged = found(measured())
    assert [finding.metric for finding in judged] == PARTS
    assert {(finding.verdict, finding.fails) for finding in judged} == {(Verdict.MATCHED, False)}


def test_what_nobody_asked_for_gives_no_finding():
    """Neither measured nor stored: not even where it is said why."""
    assert found(make_measurement(), make_baseline()) == []
    absent = make_measurement(absent={"micro": NO_MICRO, "npu": NO_VELA})
    assert found(absent, make_baseline()) == []


# -- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", GATED_FIGURES)
def test_a_byte_or_a_cycle_more_regresses(metric):
    """The same file needs the same to the byte, so nothing more is tolerated."""
    finding = the(metric, measured(**{metric: FIGURES[metric] + 1}))
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert (finding.baseline, finding.current) == (FIGURES[metric], FIGURES[metric] + 1)
    assert "--baseline-update" in finding.advice


@pytest.mark.parametrize("metric", GATED_FIGURES)
@pytest.mark.parametrize(
    ("share", "verdict"), [(0.9999, Verdict.MATCHED), (0.99, Verdict.MATCHED), (0.98, "improved")]
)
def test_less_passes_and_much_less_is_an_improvement(metric, share, verdict):
    """A byte less is not worth a word; beyond one percent it is."""
    finding = the(metric, measured(**{metric: FIGURES[metric] * share}))
    assert (finding.verdict, finding.fails) == (verdict, False)


def test_a_project_may_tolerate_more_and_a_gain_of_a_byte_is_still_no_word():
    """The tolerance of pyproject.toml decides what is worse."""
    policy = POLICY.with_overrides({"arena_bytes": "10%", "npu_cycles": 5})
    now = measured(arena_bytes=55_000, npu_cycles=999_990)
    assert {one.verdict for one in found(now, None, GATED_FIGURES, policy)} == {Verdict.MATCHED}
    assert policy.tolerances["npu_cycles"] == Tolerance(absolute=5, notable=0.01)


def test_an_arena_that_grew_says_which_part_and_of_which_version():
    """The first line has the figures, the evidence where they come from."""
    newer = replace(FULL, micro=replace(MICRO, version="0.2"))
    now = measured(newer, arena_bytes=55_000, arena_activation_bytes=45_000)
    finding = the("arena_bytes", now)
    assert first_line(finding) == "tiny-cnn-int8 arena_bytes: 50000 -> 55000, limit 50000"
    assert finding.evidence == (
        "arena_activation_bytes: 40,000 -> 45,000",
        "tflite-micro was 0.1 and is 0.2",
    )


# -- TensorFlow Lite Micro ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("then", "now", "line"),
    [
        (MICRO, LACKING, "runs -> lacks CUSTOM"),
        (MICRO, Micro("killed by SIGSEGV"), "runs -> killed by SIGSEGV"),
        (LACKING, replace(LACKING, missing=("CUSTOM", "IF")), "lacks CUSTOM -> lacks CUSTOM, IF"),
        (LACKING, replace(LACKING, missing=("IF",)), "lacks CUSTOM -> lacks IF"),
        (Micro("too large"), LACKING, "too large -> lacks CUSTOM"),
    ],
)
def test_a_model_that_lacks_more_in_micro_regresses(then, now, line):
    """The first line names case, what was, what is, and the operator."""
    finding = the("micro", measured(Deployment(now), {}), stored(Deployment(then), {}))
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert first_line(finding) == f"tiny-cnn-int8 micro: {line}"
    assert finding.advice
    if now.missing:
        assert finding.evidence == (now.problem,)


@pytest.mark.parametrize(
    ("then", "now", "line"),
    [
        (LACKING, MICRO, "lacks CUSTOM -> runs"),
        (replace(LACKING, missing=("IF", "CUSTOM")), LACKING, "lacks IF, CUSTOM -> lacks CUSTOM"),
    ],
)
def test_a_model_that_lacks_less_in_micro_improves(then, now, line):
    """Where it runs for the first time, the arena that nothing is stored of fails nothing."""
    judged = found(measured(Deployment(now), ARENA), stored(Deployment(then), {}), ["micro"])
    assert [(one.verdict, one.reason, one.fails) for one in judged] == [
        (Verdict.IMPROVED, line, False)
    ]
    both = found(measured(Deployment(MICRO), ARENA), stored(Deployment(LACKING), {}))
    assert [one.metric for one in both] == ["micro"]


@pytest.mark.parametrize(
    ("then", "now"), [(LACKING, LACKING), (LACKING, Micro("it crashed")), (Micro("x"), Micro("y"))]
)
def test_what_never_ran_in_micro_is_a_fact(then, now):
    """It passes, and says why it does not run."""
    finding = the("micro", measured(Deployment(now), {}), stored(Deployment(then), {}))
    assert (finding.verdict, finding.fails) == (Verdict.MATCHED, False)
    same = (f"as stored: {now.problem}",)
    assert (finding.evidence == same) == (now == then)
    assert now.problem in finding.evidence[0] or "lacks" in finding.evidence[0]


def test_a_model_that_no_longer_runs_fails_once():
    """Its arena is not missing as well."""
    now = measured(replace(FULL, micro=LACKING), CYCLES, absent={"arena_bytes": "it does not run"})
    failing = [one.metric for one in found(now) if one.fails]
    assert failing == ["micro"]


# -- Ethos-U --------------------------------------------------------------------------------------


def npu(*on_cpu, **changes):
    """Make a deployment with an estimate in which these operators fall back to the CPU."""
    return replace(FULL, npu=replace(NPU, on_cpu=on_cpu, **changes))


@pytest.mark.parametrize(
    ("now", "words", "evidence"),
    [
        (
            ("SOFTMAX (softmax)", "CONV_2D (stage2)"),
            "1 -> 2 operators on the CPU; new: CONV_2D (stage2)",
            (),
        ),
        (("CONV_2D (stage2)",), "1 -> 1 operators on the CPU; new: CONV_2D (stage2)", ()),
        (
            ("CONV_2D (a)", "SOFTMAX (softmax)", "SOFTMAX (other)"),
            "1 -> 3 operators on the CPU; new: CONV_2D (a) and 1 more",
            ("now on the CPU: SOFTMAX (other)",),
        ),
        (
            ("SOFTMAX (softmax)", "SOFTMAX (softmax)"),
            "1 -> 2 operators on the CPU; new: SOFTMAX (softmax)",
            (),
        ),
    ],
)
def test_an_operator_newly_on_the_cpu_regresses(now, words, evidence):
    """It is named in the first line, others below."""
    finding = the("npu", measured(npu(*now)))
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert first_line(finding) == f"tiny-cnn-int8 npu: on ethos-u55-128 {words}"
    assert finding.evidence == evidence


def test_fewer_operators_on_the_cpu_are_an_improvement():
    """Which of them, too."""
    finding = the("npu", measured(npu()))
    assert (finding.verdict, finding.fails) == (Verdict.IMPROVED, False)
    assert finding.reason.endswith("1 -> 0 operators on the CPU; no longer: SOFTMAX (softmax)")


def test_an_operator_of_another_name_is_no_new_one():
    """Converters name the same operators differently."""
    assert the("npu", measured(npu("SOFTMAX (StatefulCall)"))).verdict is Verdict.MATCHED


def test_an_estimate_that_is_gone_regresses_and_a_first_one_improves():
    """A model that no longer compiles fails once, with the reason; its figures are not missing."""
    gone = found(measured(replace(FULL, npu=REFUSED), ARENA))
    (failing,) = [one for one in gone if one.fails]
    told = "tiny-cnn-int8 npu: runs on ethos-u55-128 -> the model computes in float"
    assert first_line(failing) == told
    first = found(measured(), stored(replace(FULL, npu=REFUSED), ARENA))
    assert {one.metric: one.verdict for one in first}["npu"] is Verdict.IMPROVED
    assert not [one for one in first if one.fails]


def test_a_model_that_the_npu_never_took_is_a_fact():
    """Whatever the words for it."""
    then = replace(FULL, npu=replace(REFUSED, problem="float32 is not supported"))
    assert the("npu", measured(replace(FULL, npu=REFUSED)), stored(then)).verdict is (
        Verdict.MATCHED
    )


def test_another_accelerator_is_said_once_and_compared_never():
    """Neither its operators nor its figures."""
    judged = found(measured(npu(accelerator="ethos-u65-256"), npu_cycles=9e9))
    other = [one for one in judged if one.verdict is not Verdict.MATCHED]
    assert [(one.metric, one.verdict, one.fails) for one in other] == [
        ("npu", Verdict.INCOMPARABLE, False)
    ]
    assert "ethos-u55-128, this run estimated ethos-u65-256" in other[0].reason


def test_another_version_is_evidence_beside_a_regression():
    """Whoever looks into it looks there first."""
    finding = the("npu", measured(npu("CONV_2D (a)", version="5.0")))
    assert "ethos-u-vela was 4.2 and is 5.0" in finding.evidence


# -- kernels --------------------------------------------------------------------------------------


def parity(*changed, images=256, absent=None, without=()):
    """Make a deployment whose pairs are the stored ones, but for those `changed`."""
    pairs = {one.pair: one for one in (*DIFFERENCES, *changed) if one.pair not in without}
    return replace(FULL, parity=Parity(images, tuple(pairs.values()), absent or {}))


@pytest.mark.parametrize(
    ("pair", "line"),
    [
        (
            Difference("reference", "micro", 3, 4.0),
            "reference/micro 0 -> 3 top-1 flips of 256 images, outputs 0 -> 4 steps apart",
        ),
        (
            Difference("reference", "micro", 0, 1.0),
            "reference/micro 0 -> 0 top-1 flips of 256 images, outputs 0 -> 1 steps apart",
        ),
        (
            Difference("xnnpack", "reference", 2, 1.0),
            "xnnpack/reference 1 -> 2 top-1 flips of 256 images, outputs 2 -> 1 steps apart",
        ),
        (
            Difference("xnnpack", "reference", 0, 2.5),
            "xnnpack/reference 1 -> 0 top-1 flips of 256 images, outputs 2 -> 2.5 steps apart",
        ),
    ],
)
def test_a_new_disagreement_regresses(pair, line):
    """More flips or larger steps of any pair; the first line names the pair."""
    finding = the("parity", measured(parity(pair)))
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert first_line(finding) == f"tiny-cnn-int8 parity: {line}"


def test_every_pair_that_got_worse_is_evidence():
    """The first in the first line, the others below, with the runtime's version."""
    now = parity(Difference("xnnpack", "micro", 9, 2.0), Difference("reference", "micro", 9, 0.0))
    finding = the("parity", measured(replace(now, micro=replace(MICRO, version="0.2"))))
    assert finding.reason.startswith("xnnpack/micro 1 -> 9")
    assert finding.evidence[0].startswith("reference/micro 0 -> 9")
    assert finding.evidence[1] == "tflite-micro was 0.1 and is 0.2"


def test_an_old_disagreement_is_a_fact_and_a_smaller_one_an_improvement():
    """What is stored passes, and is told."""
    matched = the("parity", measured())
    assert matched.evidence[0] == (
        "xnnpack/reference: 1 top-1 flips of 256 images, outputs 2 steps apart, as stored"
    )
    better = the("parity", measured(parity(Difference("xnnpack", "micro", 0, 2.0))))
    assert (better.verdict, better.fails) == (Verdict.IMPROVED, False)


def test_the_order_of_a_pair_s_names_does_not_matter():
    """It is the same pair."""
    swapped = Parity(256, tuple(replace(d, first=d.second, second=d.first) for d in DIFFERENCES))
    assert the("parity", measured(replace(FULL, parity=swapped))).verdict is Verdict.MATCHED


@pytest.mark.parametrize("change", [{"cpu": "another"}, {"runtime": "another"}])
def test_on_another_processor_only_kernels_that_are_the_same_there_are_compared(change):
    """XNNPACK chooses kernels by the processor; the reference kernels and Micro do not."""
    excused = parity(Difference("xnnpack", "micro", 9, 9.0))
    judged = found(measured(excused, provenance=change), metrics=["parity"])
    assert [(one.verdict, one.fails) for one in judged] == [
        (Verdict.MATCHED, False),
        (Verdict.INCOMPARABLE, False),
    ]
    assert "on which XNNPACK's and the built-in kernels depend" in judged[1].reason
    worse = parity(Difference("reference", "micro", 1, 0.0))
    assert found(measured(worse, provenance=change), metrics=["parity"])[0].fails


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (measured(parity(images=64)), "compared 256 images, this run 64"),
        (measured(provenance={"dataset_sha256": "e" * 64}), "evaluated images or labels are not"),
    ],
)
def test_pairs_of_other_images_are_incomparable(now, words):
    """Neither fewer nor others, and that is no excuse: an update stores the new ones."""
    finding = the("parity", now)
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
    assert "--baseline-update" in finding.advice
    assert words in finding.reason


def test_a_kernel_that_ran_and_now_fails_regresses():
    """Its outputs are not finite, or it crashed: no disagreement could be larger."""
    now = parity(absent={"xnnpack": "killed by SIGILL"}, without=["xnnpack/reference"])
    (finding,) = found(measured(now), metrics=["parity"])
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert first_line(finding) == (
        "tiny-cnn-int8 parity: xnnpack/reference was compared, and now xnnpack: killed by SIGILL"
    )
    endless = parity(absent={"micro": "its outputs are not finite"}, without=["reference/micro"])
    (finding,) = found(measured(endless), metrics=["parity"])
    assert finding.fails
    assert "micro: its outputs are not finite" in finding.reason


def test_a_pair_that_is_gone_without_a_word_is_not_passed_over():
    """Nothing says why."""
    (finding,) = found(measured(parity(without=["xnnpack/micro"])), metrics=["parity"])
    assert finding.reason == "xnnpack/micro was compared, and now it was not compared"


def test_pairs_with_a_runtime_in_which_the_model_no_longer_runs_are_that_gate_s():
    """That one fails; parity judges the rest."""
    now = replace(parity(without=("xnnpack/micro", "reference/micro")), micro=LACKING)
    assert [one.verdict for one in found(measured(now), metrics=["parity"])] == [Verdict.MATCHED]


# -- boards and budgets ---------------------------------------------------------------------------

# Flash with 64 KiB for the runtime and RAM with 16 KiB for the stack, to the byte.
SMALL = Board("small", flash_bytes=200_000 + 65_536, ram_bytes=50_000 + 16_384)
LIMITS = Budget(SMALL.flash_bytes, SMALL.ram_bytes, 1_000_000)


def budgeted(now, then, **policy):
    """Judge the budget alone, with a board or a budget in the policy."""
    return judge_case(now, then, replace(POLICY, **policy), ["budget"])


def test_without_board_and_budget_nothing_is_judged():
    """Nor is the reference, which no device is given."""
    assert budgeted(measured(), stored()) == []
    reference = make_measurement(variant="tf")
    assert budgeted(reference, make_baseline(variant="tf"), board=SMALL, budget=LIMITS) == []


@pytest.mark.parametrize("target", [{"board": SMALL}, {"budget": LIMITS}])
def test_what_fits_to_the_byte_passes(target):
    """And says how full it is."""
    (finding,) = budgeted(measured(), stored(), **target)
    assert (finding.verdict, finding.fails) == (Verdict.MATCHED, False)
    assert finding.evidence[0].startswith("fits ")


@pytest.mark.parametrize(
    ("changes", "short"),
    [
        ({"arena_bytes": 50_001}, "RAM 1 byte short (arena 50,001 + 16,384 of 66,384)"),
        ({"size_bytes": 210_000}, "flash 10,000 bytes short (model 210,000 + 65,536 of 265,536)"),
    ],
)
def test_a_case_that_used_to_fit_the_board_regresses_by_how_much(changes, short):
    """The first line names board, resource and bytes; the evidence what grew."""
    (finding,) = budgeted(measured(**changes), stored(), board=SMALL)
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    line = f"tiny-cnn-int8 budget: fits small -> does not fit small: {short}"
    assert first_line(finding) == line
    ((name, value),) = changes.items()
    assert finding.evidence == (f"{name}: {stored().facts[name]:,.0f} -> {value:,.0f}",)
    assert "--baseline-update" in finding.advice


def test_a_case_that_no_longer_runs_no_longer_fits():
    """The reason is the runtime's."""
    (finding,) = budgeted(measured(replace(FULL, micro=LACKING), CYCLES), stored(), board=SMALL)
    assert finding.reason == f"fits small -> does not fit small: {LACKING.problem}"


@pytest.mark.parametrize(
    "then", [stored(facts={**FIGURES, "arena_bytes": 60_000}), stored(None, {}), None]
)
def test_a_case_that_never_fitted_the_board_is_a_fact(then):
    """Nor does one fail of which nothing is stored: it says by how much it does not fit."""
    found_now = budgeted(measured(arena_bytes=60_001), then, board=SMALL)
    told = [one for one in found_now if one.metric == "budget"]
    known = then is not None and then.deployment is not None
    verdict = Verdict.MATCHED if known else Verdict.MISSING
    assert [(one.verdict, one.fails) for one in told] == [(verdict, False)] * bool(then)
    for one in told:
        assert "RAM 10,001 bytes short" in one.evidence[0]


def test_a_case_that_fits_for_the_first_time_improves():
    """Where it was known not to."""
    then = stored(facts={**FIGURES, "arena_bytes": 60_000})
    (finding,) = budgeted(measured(), then, board=SMALL)
    assert (finding.verdict, finding.fails) == (Verdict.IMPROVED, False)
    found_now = budgeted(measured(), stored(None, {}), board=SMALL)
    (unknown,) = [one for one in found_now if one.metric == "budget"]
    assert unknown.verdict is Verdict.MATCHED


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (
            {"ram_bytes": LIMITS.ram_bytes - 1},
            "RAM 1 byte short (arena 50,000 + 16,384 of 66,383)",
        ),
        (
            {"flash_bytes": LIMITS.flash_bytes - 1},
            "flash 1 byte short (model 200,000 + 65,536 of 265,535)",
        ),
        ({"cycles": 999_999}, "1 cycle too many (estimated 1,000,000 of 999,999)"),
    ],
)
@pytest.mark.parametrize("then", [stored(), None])
def test_a_budget_one_byte_too_small_fails_whatever_is_stored(limits, line, then):
    """An update does not settle it: the advice is not to store it, but where the budget is."""
    judged = budgeted(measured(), then, budget=replace(LIMITS, **limits))
    (finding,) = [one for one in judged if one.metric == "budget"]
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert first_line(finding) == f"tiny-cnn-int8 budget: {line}"
    assert finding.evidence == ("the budget is [tool.tinyml_bench.budget] of pyproject.toml",)
    assert finding.advice == ""


def test_an_excess_that_is_new_says_so():
    """It was within the budget, and every resource that is exceeded is named."""
    now = measured(arena_bytes=50_001, npu_cycles=1_000_002)
    (finding,) = budgeted(now, stored(), budget=LIMITS)
    assert finding.reason == (
        "within the budget -> RAM 1 byte short (arena 50,001 + 16,384 of 66,384); "
        "2 cycles too many (estimated 1,000,002 of 1,000,000)"
    )


@pytest.mark.parametrize(
    ("deployment", "facts"),
    [
        (replace(FULL, npu=None), ARENA),
        (replace(FULL, micro=LACKING), CYCLES),
        (Deployment(LACKING), {}),
    ],
)
@pytest.mark.parametrize("then", [stored(), stored(None, {})])
def test_what_does_not_run_there_exceeds_no_budget_for_it(deployment, facts, then):
    """A float model has no cycles and one that lacks kernels no arena; the other gates say so."""
    (finding,) = budgeted(measured(deployment, facts), then, budget=LIMITS)
    assert (finding.verdict, finding.fails) == (Verdict.MATCHED, False)


def test_cycles_that_wait_for_an_extra_are_no_pass():
    """Unlike those that there are none of."""
    now = measured(replace(FULL, npu=None), ARENA, absent={"npu_cycles": NO_VELA})
    (finding,) = budgeted(now, stored(), budget=LIMITS)
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
    assert NO_VELA in finding.reason


@pytest.mark.parametrize("target", [{"board": SMALL}, {"budget": LIMITS}])
def test_a_budget_that_cannot_be_judged_is_no_pass(target):
    """Somebody asked for it: the message names the extra to install."""
    (finding,) = budgeted(measured(Deployment(parity=PARITY), {}), stored(), **target)
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
    assert "pip install 'tinyml-bench[micro]'" in first_line(finding)


def test_a_board_and_a_budget_are_both_judged():
    """Each by itself."""
    judged = budgeted(measured(arena_bytes=50_001), stored(), board=SMALL, budget=LIMITS)
    assert ["small" in one.reason for one in judged] == [True, False]


# -- what is missing on one side ------------------------------------------------------------------


def test_a_missing_extra_is_said_once_for_all_that_it_measures():
    """Operators, arena and pairs of kernels; whatever metrics a test asks for."""
    lost = Deployment(
        parity=parity(without=("xnnpack/micro", "reference/micro"), absent={"micro": "x"}).parity
    )
    absent = {"micro": NO_MICRO, "npu": NO_VELA}
    now = measured(lost, {}, absent=absent)
    judged = found(now)
    assert [(one.metric, one.verdict) for one in judged] == [
        ("micro", Verdict.INCOMPARABLE),
        ("npu", Verdict.INCOMPARABLE),
        ("parity", Verdict.MATCHED),
    ]
    assert [one.reason for one in judged[:2]] == [NO_MICRO, NO_VELA]
    assert not any(one.fails for one in judged)
    for metric in ("micro", "arena_bytes"):
        assert found(now, metrics=[metric]) == judged[:1]
    assert {one.reason for one in found(now, metrics=["parity"])} == {"", NO_MICRO}


def test_kernels_that_wait_for_the_same_extra_are_no_second_finding():
    """Where nothing of parity runs without Micro, that is what is missing."""
    absent = {"arena_bytes": NO_MICRO, "micro": NO_MICRO, "parity": NO_MICRO}
    judged = found(measured(Deployment(npu=NPU), CYCLES, absent=absent))
    assert [one.metric for one in judged if one.verdict is Verdict.INCOMPARABLE] == ["micro"]


def test_a_project_may_insist_on_what_an_extra_measures():
    """Then a run without it fails with the command that installs it."""
    strict = replace(POLICY, may_be_incomparable=frozenset())
    judged = found(measured(Deployment(), {}, absent={"micro": NO_MICRO}), policy=strict)
    assert judged[0].fails
    assert first_line(judged[0]) == f"tiny-cnn-int8 micro: incomparable, {NO_MICRO}"


def test_a_part_that_was_not_asked_for_is_never_skipped_in_silence():
    """Whoever leaves it out of a gated run reads so, even where no reason is given."""
    judged = found(measured(None, {}))
    assert [(one.metric, one.fails) for one in judged] == [(part, True) for part in FACTS]
    assert [one.reason for one in judged if one.metric != "npu"] == ["it was not measured"] * 2


def test_an_integer_case_that_is_none_any_more_regresses():
    """Then nothing of it is estimated, and that is not for want of Vela."""
    now = measured(replace(FULL, npu=None), ARENA)
    finding = the("npu", now)
    assert finding.fails
    assert first_line(finding) == (
        "tiny-cnn-int8 npu: runs on ethos-u55-128 -> it no longer computes mostly in integers"
    )


def test_a_board_whose_npu_was_not_estimated_before_is_no_regression():
    """Its estimate now and the CPU's arena then are two things."""
    npu = replace(NPU, accelerator="ethos-u55-64")
    board = replace(SMALL, npu="ethos-u55-64")
    now = measured(replace(FULL, npu=npu), {**FIGURES, "npu_sram_bytes": 10**6})
    told = [one for one in budgeted(now, stored(), board=board) if one.metric == "budget"]
    assert [(one.verdict, one.fails) for one in told] == [(Verdict.MISSING, False)]


def test_a_budget_of_cycles_is_not_met_by_an_estimate_that_failed():
    """Vela that gave no answer is no model that costs nothing."""
    npu = Npu("ethos-u55-128", "Vela gave no answer within 300 s")
    now = measured(replace(FULL, npu=npu), ARENA)
    told = budgeted(now, stored(), budget=Budget(cycles=500_000))
    (finding,) = [one for one in told if one.metric == "budget"]
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
    assert "Vela gave no answer" in finding.reason


def test_what_no_baseline_has_is_told_and_fails_nobody():
    """Installing an extra does not break a build; the advice is to store it."""
    judged = found(measured(), make_baseline())
    assert [(one.metric, one.verdict, one.fails) for one in judged] == [
        (part, Verdict.MISSING, False) for part in FACTS
    ]
    assert all("--baseline-update-new" in one.advice for one in judged)


def test_pairs_that_no_baseline_has_are_told_too():
    """A kernel that runs for the first time, whose part is stored or not."""
    then = parity(without=("xnnpack/micro", "reference/micro"))
    assert [one.verdict for one in found(measured(), stored(then), ["parity"])] == [
        Verdict.MATCHED,
        Verdict.MISSING,
    ]
    first = found(measured(), stored(replace(then, micro=None), CYCLES))
    assert [one.metric for one in first if one.verdict is Verdict.MISSING] == ["micro"]
    improved = found(measured(), stored(replace(then, micro=LACKING), CYCLES), ["parity"])
    assert [one.verdict for one in improved] == [Verdict.MATCHED]


def test_figures_alone_are_compared_as_figures():
    """Where a record says nothing but the number."""
    then, now = stored(None, ARENA), measured(None, {**ARENA, "arena_bytes": 50_001})
    assert [one.verdict for one in found(now, then, ["arena_bytes"])] == [Verdict.REGRESSED]


def test_provenance_that_is_unknown_compares_no_images():
    """Nothing says that they are the same."""
    now = replace(measured(), provenance=None)
    assert the("parity", now).verdict is Verdict.INCOMPARABLE
    assert make_provenance() == stored().provenance
