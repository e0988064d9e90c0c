"""A model fits a board or a budget to the byte, and what does not fit says by how much."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tinyml_bench.judging import board_fit
from tinyml_bench.judging.board_fit import FLASH_OVERHEAD_BYTES, RAM_OVERHEAD_BYTES, fit, within
from tinyml_bench.judging.policy.boards import Board, Budget
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu

KIB = 1024
BOARD = Board("it", flash_bytes=1024 * KIB, ram_bytes=256 * KIB)
FACTS = {"size_bytes": 280_000, "arena_bytes": 50_000}
EXACT = Budget(280_000 + FLASH_OVERHEAD_BYTES, 50_000 + RAM_OVERHEAD_BYTES, 270_000)
ON_NPU = {"npu_sram_bytes": 18_000, "npu_flash_bytes": 290_000, "npu_cycles": 270_000}
NO_MICRO = Micro(problem="TensorFlow Lite Micro has no kernel for CUSTOM", missing=("CUSTOM",))


def deployed(accelerator="ethos-u55-128", micro=None, **fields):
    """Make the record of a model that was compiled for an NPU."""
    return Deployment(micro=micro, npu=Npu(accelerator, **fields))


# -- fitting a board ------------------------------------------------------------------------------


def test_a_model_that_fits_says_what_it_takes():
    """Needs are rounded up, so that nobody counts on what is not there."""
    found = fit(FACTS, None, BOARD)
    assert found.fits
    assert found.is_known
    assert found.sentence() == "fits it: flash 338 of 1,024 KiB, RAM 65 of 256 KiB"


@pytest.mark.parametrize(
    ("fact", "overhead", "available", "words"),
    [
        ("size_bytes", FLASH_OVERHEAD_BYTES, BOARD.flash_bytes, "flash 1 byte short (model "),
        ("arena_bytes", RAM_OVERHEAD_BYTES, BOARD.ram_bytes, "RAM 1 byte short (arena "),
    ],
)
def test_one_byte_too_many_does_not_fit(fact, overhead, available, words):
    """The last byte that there is still does."""
    assert fit({**FACTS, fact: available - overhead}, None, BOARD).fits
    found = fit({**FACTS, fact: available - overhead + 1}, None, BOARD)
    assert not found.fits
    assert [need.short for need in found.shortages] == [1]
    assert found.sentence() == (
        f"does not fit it: {words}{available - overhead + 1:,} + {overhead:,} of {available:,})"
    )


def test_all_that_is_short_is_named():
    """Else the second is found after the first was mended."""
    said = fit({"size_bytes": 1 << 21, "arena_bytes": 1 << 19}, None, BOARD).sentence()
    assert "flash 1,114,112 bytes short" in said
    assert "; RAM 278,528 bytes short" in said


def test_an_arena_has_to_lie_in_one_piece():
    """Two banks of half the size do not hold one array."""
    board = Board("it", 1 << 20, 1024 * KIB, block_bytes=512 * KIB)
    assert fit({**FACTS, "arena_bytes": 512 * KIB}, None, board).fits
    said = fit({**FACTS, "arena_bytes": 512 * KIB + 7}, None, board).sentence()
    assert said == ("does not fit it: RAM in one piece 7 bytes short (arena 524,295 of 524,288)")


def test_without_an_arena_it_cannot_be_told():
    """It does not count as fitting, and the command that would tell is named."""
    found = fit({"size_bytes": 280_000}, None, BOARD)
    assert (found.fits, found.is_known) == (False, False)
    assert found.sentence() == (
        "cannot tell whether it fits it: no arena was measured: pip install 'tinyml-bench[micro]'"
    )


def test_without_an_arena_it_may_still_be_known_not_to_fit():
    """The model file alone is too large."""
    found = fit({"size_bytes": 1 << 21}, None, BOARD)
    assert (found.fits, found.is_known) == (False, True)
    assert found.sentence().startswith("does not fit it: flash 1,114,112 bytes short")


def test_what_does_not_run_on_micro_does_not_fit():
    """However small it is; the reason is the runtime's."""
    found = fit(FACTS, Deployment(micro=NO_MICRO), BOARD)
    assert (found.fits, found.is_known) == (False, True)
    assert found.sentence() == f"does not fit it: {NO_MICRO.problem}"


# -- with an NPU ----------------------------------------------------------------------------------

WITH_NPU = Board("it", 1024 * KIB, 256 * KIB, npu="ethos-u55-128")


def needed(found):
    """Return what is needed, by what it is."""
    return {need.what: need.needed for need in found.needs}


def test_on_the_npu_velas_arena_counts():
    """And the larger of the model and what Vela puts in flash."""
    found = fit({**FACTS, **ON_NPU}, deployed(), WITH_NPU)
    assert needed(found) == {
        "flash": 290_000 + FLASH_OVERHEAD_BYTES,
        "RAM": 18_000 + RAM_OVERHEAD_BYTES,
    }
    larger = fit({**FACTS, **ON_NPU, "size_bytes": 300_000}, deployed(), WITH_NPU)
    assert needed(larger)["flash"] == 300_000 + FLASH_OVERHEAD_BYTES
    tight = Board("it", 1 << 20, 30_000, npu="ethos-u55-128")
    said = fit({**FACTS, **ON_NPU}, deployed(), tight).sentence()
    assert said == "does not fit it: RAM 4,384 bytes short (NPU arena 18,000 + 16,384 of 30,000)"


@pytest.mark.parametrize(
    ("board", "deployment", "facts"),
    [
        (BOARD, deployed(), ON_NPU),
        (WITH_NPU, deployed("ethos-u55-256"), ON_NPU),
        (WITH_NPU, deployed(problem="no operator runs on the NPU"), ON_NPU),
        (WITH_NPU, deployed(), {}),
        (WITH_NPU, Deployment(), ON_NPU),
        (WITH_NPU, None, ON_NPU),
    ],
    ids=["no-npu", "another", "problem", "no-facts", "not-asked", "nothing"],
)
def test_else_the_arena_of_the_cpu_counts(board, deployment, facts):
    """An estimate for another NPU says nothing of this one."""
    assert needed(fit({**FACTS, **facts}, deployment, board)) == {
        "flash": 280_000 + FLASH_OVERHEAD_BYTES,
        "RAM": 50_000 + RAM_OVERHEAD_BYTES,
    }


def test_micro_matters_only_for_what_stays_on_the_cpu():
    """A model wholly on the NPU is one custom operator, whatever kernels the runtime lacks."""
    facts = {"size_bytes": 280_000, **ON_NPU}
    assert fit(facts, deployed(micro=NO_MICRO), WITH_NPU).fits
    partly = deployed(micro=NO_MICRO, on_cpu=("CUSTOM (odd)",))
    assert fit(facts, partly, WITH_NPU).reason == NO_MICRO.problem


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("flash_bytes", "flash 1 byte short (model 280,000 + 65,536 of 345,535)"),
        ("ram_bytes", "RAM 1 byte short (arena 50,000 + 16,384 of 66,383)"),
        ("cycles", "1 cycle too many (estimated 270,000 of 269,999)"),
    ],
)
def test_a_budget_one_byte_too_small_is_named(what, words):
    """Each limit by itself, and all of them at once."""
    facts = {**FACTS, **ON_NPU}
    assert within(facts, EXACT).fits
    smaller = getattr(EXACT, what) - 1
    for budget in (Budget(**{what: smaller}), replace(EXACT, **{what: smaller})):
        found = within(facts, budget)
        assert found.sentence() == f"does not fit the budget: {words}"


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(model_bytes=280_000), ""),
        (Budget(model_bytes=279_999), "model file 1 byte short (280,000 of 279,999)"),
        (Budget(arena_bytes=50_000), ""),
        (Budget(arena_bytes=49_999), "arena 1 byte short (50,000 of 49,999)"),
    ],
)
def test_the_limits_on_file_and_arena_have_no_allowances(budget, words):
    """`bytes` and `arena` are of the case itself, not of what runs it."""
    found = within(FACTS, budget)
    assert found.fits is not bool(words)
    assert found.sentence().endswith(words)
    assert not within({}, budget).is_known


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(flash_bytes=1 << 30), "the size of its model file was not measured"),
        (Budget(ram_bytes=1 << 30), "no arena was measured: pip install 'tinyml-bench[micro]'"),
        (Budget(cycles=1 << 30), "no cycles were estimated, as Vela does for integer models"),
    ],
)
def test_a_limit_on_what_was_not_measured_cannot_be_told(budget, reason):
    """And does not pass in silence."""
    found = within({}, budget)
    assert (found.fits, found.is_known, found.reason) == (False, False, reason)


def test_no_limits_need_no_facts():
    """Nothing was asked for."""
    assert within({}, Budget()).fits


def test_what_does_not_run_on_micro_has_no_memory_to_speak_of():
    """A budget of RAM fails with the runtime's reason; one of cycles is not concerned."""
    deployment = Deployment(micro=NO_MICRO)
    assert within(FACTS, Budget(ram_bytes=1 << 30), deployment).reason == NO_MICRO.problem
    assert within({**FACTS, **ON_NPU}, Budget(cycles=1 << 30), deployment).fits


def test_the_assumptions_state_the_allowances():
    """As numbers, and what is not counted."""
    said = board_fit.assumptions()
    assert f"{FLASH_OVERHEAD_BYTES // KIB} KiB" in said
    assert f"{RAM_OVERHEAD_BYTES // KIB} KiB" in said
    assert "Bootloaders" in said
