"""What a model needs on a board: flash, RAM, and by how many bytes it is too large.

Pure arithmetic on what was measured, with stated allowances for all that is not the model; see
:func:`assumptions`. A budget is a board without a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tinyml_bench.judging.policy.boards import Board, Budget
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.devices.micro import Micro

FLASH_OVERHEAD_BYTES: Final = 64 * 1024
"""Flash beside the model: the runtime's core (16 KB on a Cortex-M3, says its documentation), the
kernels of a small network, the C library, start-up code, and drivers of a sensor."""

RAM_OVERHEAD_BYTES: Final = 16 * 1024
"""RAM beside the arena: the stack, the runtime's own static data, buffers of a driver."""

_MICRO_EXTRA: Final = "pip install 'tinyml-bench[micro]'"


@dataclass(frozen=True, slots=True)
class Need:
    """How much of one thing a case needs, and how much there is.

    Parameters
    ----------
    what : str
        ``"flash"``, ``"RAM"``, ``"RAM in one piece"``, ``"cycles"``, ``"model file"`` or
        ``"arena"``.
    parts : tuple of (str, int)
        What it is the sum of, with a word for the first.
    available : int
    """

    what: str
    parts: tuple[tuple[str, int], ...]
    available: int

    @property
    def needed(self) -> int:
        """The sum of its parts."""
        return sum(value for _, value in self.parts)

    @property
    def short(self) -> int:
        """What is missing; 0 where it fits."""
        return max(0, self.needed - self.available)

    def __str__(self) -> str:
        if self.what == "cycles":
            return f"{self.needed:,} of {self.available:,} cycles"
        return f"{self.what} {-(-self.needed // 1024):,} of {_kib(self.available)} KiB"

    def shortage(self) -> str:
        """Say how much is missing, and what of.

        Examples
        --------
        >>> Need("RAM", (("arena", 260_000), ("", 16_384)), 270_336).shortage()
        'RAM 6,048 bytes short (arena 260,000 + 16,384 of 270,336)'
        """
        sum_of = " + ".join(f"{word} {value:,}".strip() for word, value in self.parts)
        limit = f"({sum_of} of {self.available:,})"
        plural = "" if self.short == 1 else "s"
        if self.what == "cycles":
            return f"{self.short:,} cycle{plural} too many {limit}"
        return f"{self.what} {self.short:,} byte{plural} short {limit}"


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether one case fits one board, or a budget.

    Parameters
    ----------
    target : str
        The board's name, or ``"the budget"``.
    needs : tuple of Need
        What could be told.
    reason : str
        Why it does not run at all, or why not all could be told; empty otherwise.
    runs : bool
        Whether it runs there, as far as that is known.
    """

    target: str
    needs: tuple[Need, ...] = ()
    reason: str = ""
    runs: bool = True

    @property
    def shortages(self) -> tuple[Need, ...]:
        """The needs that are not met."""
        return tuple(need for need in self.needs if need.short)

    @property
    def fits(self) -> bool:
        """Whether it is sure to fit; ``False`` also where that cannot be told."""
        return not self.reason and not self.shortages

    @property
    def is_known(self) -> bool:
        """Whether it could be told, either way."""
        return not self.reason or not self.runs or bool(self.shortages)

    def sentence(self) -> str:
        """Say all of it.

        Examples
        --------
        >>> board = Board("nano-33-ble", flash_bytes=1 << 20, ram_bytes=256 << 10)
        >>> fit({"size_bytes": 250_000, "arena_bytes": 33_000}, None, board).sentence()
        'fits nano-33-ble: flash 309 of 1,024 KiB, RAM 49 of 256 KiB'
        >>> fit({"size_bytes": 250_000, "arena_bytes": 250_000}, None, board).sentence()
        'does not fit nano-33-ble: RAM 4,240 bytes short (arena 250,000 + 16,384 of 262,144)'
        """
        if self.fits:
            listed = ", ".join(map(str, self.needs))
            return f"fits {self.target}: {listed}" if listed else f"fits {self.target}"
        said = [need.shortage() for need in self.shortages]
        if not self.runs:
            said = [self.reason]
        elif not said:
            return f"cannot tell whether it fits {self.target}: {self.reason}"
        return f"does not fit {self.target}: {'; '.join(said)}"


def assumptions() -> str:
    """Say what is counted beside the model, and what is not."""
    return (
        f"Flash counts the model and {_kib(FLASH_OVERHEAD_BYTES)} KiB for the runtime, its kernels "
        f"and start-up code; RAM counts the arena and {_kib(RAM_OVERHEAD_BYTES)} KiB for stack and "
        "static data. The arena is measured on this machine, whose pointers are longer than a "
        "board's: it takes a little less there. On a board whose NPU Vela compiled for, RAM counts "
        "Vela's estimate of SRAM, and flash the larger of model file and Vela's estimate. "
        "Bootloaders, radio stacks, over-the-air updates and external memory are not counted"
    )


def fit(facts: Mapping[str, float], deployment: Deployment | None, board: Board) -> Fit:
    """Tell whether a case fits a board.

    Parameters
    ----------
    facts : mapping of str to float
        Those of its measurement: ``size_bytes``, ``arena_bytes``, and for an Ethos-U
        ``npu_sram_bytes`` and ``npu_flash_bytes``.
    deployment : Deployment or None
        Whether it runs in the microcontroller runtime, and for which NPU it was compiled.
    board : Board

    Notes
    -----
    Where the estimate is for the board's own NPU, Vela's arena replaces the one of the CPU: it
    holds inputs, outputs and what the CPU's operators exchange with the NPU's. The compiled file
    holds what Vela puts in flash and a few KiB of commands; it is about as large as the model, so
    the larger of both is counted. An estimate for another NPU says nothing: the CPU's count.
    """
    micro = deployment.micro if deployment is not None else None
    size = _whole(facts, "size_bytes")
    word, arena = "arena", _whole(facts, "arena_bytes")
    if _is_compiled_for(facts, deployment, board.npu):
        size = max(size or 0, _whole(facts, "npu_flash_bytes") or 0)
        word, arena = "NPU arena", _whole(facts, "npu_sram_bytes")
        all_on_npu = deployment is not None and deployment.npu and not deployment.npu.on_cpu
        micro = None if all_on_npu else micro
    return _fit(board.name, _memory_needs(size, word, arena, board), micro, _unknown(size, arena))


def within(facts: Mapping[str, float], budget: Budget, deployment: Deployment | None = None) -> Fit:
    """Tell whether a case stays within a budget, on a CPU; what has no limit is not asked for.

    Examples
    --------
    >>> facts = {"size_bytes": 200_000, "arena_bytes": 50_000, "npu_cycles": 269_186}
    >>> within(facts, Budget(ram_bytes=66_384, cycles=270_000)).fits
    True
    >>> within(facts, Budget(ram_bytes=66_383)).sentence()
    'does not fit the budget: RAM 1 byte short (arena 50,000 + 16,384 of 66,383)'
    """
    of_size = budget.flash_bytes is not None or budget.model_bytes is not None
    of_arena = budget.ram_bytes is not None or budget.arena_bytes is not None
    size = _whole(facts, "size_bytes") if of_size else 0
    arena = _whole(facts, "arena_bytes") if of_arena else 0
    cycles = _whole(facts, "npu_cycles") if budget.cycles is not None else 0
    needs = tuple(_budget_needs(budget, size, arena, cycles))
    unknown = _unknown(size, arena)
    if cycles is None and not unknown:
        unknown = "no cycles were estimated, as Vela does for integer models"
    # That a model does not run concerns the memory it would take, not cycles of an NPU.
    micro = deployment.micro if deployment is not None and of_arena else None
    return _fit("the budget", needs, micro, unknown)


def _budget_needs(
    budget: Budget, size: int | None, arena: int | None, cycles: int | None
) -> Iterator[Need]:
    limits = (
        ("flash", "model", size, FLASH_OVERHEAD_BYTES, budget.flash_bytes),
        ("RAM", "arena", arena, RAM_OVERHEAD_BYTES, budget.ram_bytes),
        ("model file", "", size, 0, budget.model_bytes),
        ("arena", "", arena, 0, budget.arena_bytes),
        ("cycles", "estimated", cycles, 0, budget.cycles),
    )
    for what, word, value, overhead, limit in limits:
        if value is not None and limit is not None:
            yield Need(what, ((word, value), *((("", overhead),) if overhead else ())), limit)


def _memory_needs(size: int | None, word: str, arena: int | None, board: Board) -> tuple[Need, ...]:
    needs = []
    if size is not None:
        parts = (("model", size), ("", FLASH_OVERHEAD_BYTES))
        needs.append(Need("flash", parts, board.flash_bytes))
    if arena is not None:
        needs.append(Need("RAM", ((word, arena), ("", RAM_OVERHEAD_BYTES)), board.ram_bytes))
        if board.block_bytes:
            needs.append(Need("RAM in one piece", ((word, arena),), board.block_bytes))
    return tuple(needs)


def _unknown(size: int | None, arena: int | None) -> str:
    if size is None:
        return "the size of its model file was not measured"
    return f"no arena was measured: {_MICRO_EXTRA}" if arena is None else ""


def _fit(target: str, needs: tuple[Need, ...], micro: Micro | None, unknown: str) -> Fit:
    if micro is not None and micro.problem:
        return Fit(target, needs, micro.problem, runs=False)
    return Fit(target, needs, unknown)


def _is_compiled_for(facts: Mapping[str, float], made: Deployment | None, npu: str) -> bool:
    estimate = made.npu if made is not None else None
    if not npu or estimate is None or estimate.problem or estimate.accelerator != npu:
        return False
    return "npu_sram_bytes" in facts and "npu_flash_bytes" in facts


def _whole(facts: Mapping[str, float], name: str) -> int | None:
    return round(facts[name]) if name in facts else None


def _kib(size: int) -> str:
    return f"{size // 1024:,}" if size % 1024 == 0 else f"{size / 1024:,.1f}"
