"""Boards and budgets are read with care, and each of ours can be looked up."""

from __future__ import annotations

import sys

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy import boards
from tinyml_bench.judging.policy.boards import Board, Budget, boards_from, find, known, parse_size
from tinyml_bench.measuring.devices import npu

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KIB = 1024


# -- our boards -----------------------------------------------------------------------------------


@pytest.mark.parametrize("board", known().values(), ids=known())
def test_each_board_is_plausible_and_has_a_source(board):
    """No figure is off by a factor of a thousand, and each can be looked up."""
    assert board.source.startswith("https://")
    assert board.title
    assert board.core.startswith(("Cortex-M", "Xtensa"))
    assert 512 * KIB <= board.flash_bytes <= 256 * KIB * KIB
    assert 64 * KIB <= board.ram_bytes <= 16 * KIB * KIB
    assert board.ram_bytes % KIB == 0
    assert board.block_bytes < board.ram_bytes
    assert board.clock_hz == 0 or 16e6 <= board.clock_hz <= 1e9


def test_the_boards_that_users_expect_are_there():
    """Those of the well-known kits."""
    assert {
        "nano-33-ble",
        "nucleo-f446re",
        "nucleo-h743zi",
        "esp32-s3-devkitc",
        "pico",
        "pico-2",
        "nrf5340-dk",
        "corstone-300",
        "apollo4-blue-plus",
    } <= set(known())


def test_boards_and_estimates_name_npus_alike():
    """Judging may not import what measures, so that the names stand in both."""
    assert boards.ACCELERATORS == npu.ACCELERATORS
    assert {board.npu for board in known().values()} - {""} <= set(npu.ACCELERATORS)


def test_an_unknown_board_names_the_nearest_and_all():
    """And says how to add it."""
    with pytest.raises(UsageError) as error:
        find("nano-33-bel")
    assert "did you mean 'nano-33-ble'? Known: alif-ensemble-e7, " in str(error.value)
    assert "[[tool.tinyml_bench.boards]] with name, flash and ram" in str(error.value)


# -- a project's own ------------------------------------------------------------------------------


def test_three_lines_add_a_board():
    """Sizes as a datasheet has them."""
    text = '[[boards]]\nname = "mine"\nflash = "1 MiB"\nram = 262_144\n'
    own = boards_from(tomllib.loads(text)["boards"], "pyproject.toml")
    assert find("mine", own) == Board("mine", 1 << 20, 1 << 18)


def test_a_projects_own_board_takes_the_place_of_ours():
    """It may have a module with more flash."""
    own = (Board("pico", 1, 1),)
    assert find("pico", own).flash_bytes == 1
    assert find("pico").flash_bytes == 2 << 20
    assert len(known(own)) == len(known())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Nano 33"}, "'name' is 'Nano 33', expected a name such as 'nano-33-ble'"),
        ({"flash": 0}, "'flash' is 0, expected bytes"),
        ({"flash": True}, "'flash' is True, expected bytes"),
        ({"flash": 1.5}, "'flash' is 1.5, expected bytes"),
        ({"flash": "1.5 B"}, "'flash' is '1.5 B', expected bytes"),
        ({"ram": "256 KiT"}, "'ram' is '256 KiT', expected bytes"),
        ({"ram": -1}, "'ram' is -1, expected bytes"),
        ({"ram": 1 << 60}, "expected bytes"),
        ({"block": "2 MiB"}, "'block' is larger than 'ram'"),
        ({"npu": "ethos-u55"}, "unknown accelerator 'ethos-u55'; did you mean 'ethos-u55-"),
        ({"npu": 5}, "unknown accelerator '5'"),
        ({"clock_hz": "64 MHz"}, "'clock_hz' is '64 MHz', expected a frequency in Hz"),
        ({"clock_hz": float("nan")}, "expected a frequency in Hz"),
        ({"core": 4}, "'core' is 4, expected a text"),
        ({"sram": 4}, "unknown key 'sram'; did you mean 'ram'"),
    ],
)
def test_a_malformed_board_is_refused(change, words):
    """It is said which of them, and where."""
    table = {"name": "mine", "flash": "1 MiB", "ram": "256 KiB"}
    with pytest.raises(UsageError) as error:
        boards_from([table, {**table, **change}], "it.toml")
    assert str(error.value).startswith("it.toml, board 2: ")
    assert words in str(error.value)


@pytest.mark.parametrize("key", ["name", "flash", "ram"])
def test_a_board_without_its_three_keys_is_refused(key):
    """The message lists them."""
    table = {"name": "mine", "flash": "1 MiB", "ram": "256 KiB"}
    del table[key]
    with pytest.raises(UsageError, match=f"has no '{key}'; expected at least name, flash and ram"):
        boards_from([table], "it.toml")


@pytest.mark.parametrize(("tables", "words"), [({}, "expected tables"), (["pico"], "a table with")])
def test_what_are_no_tables_of_boards_is_refused(tables, words):
    """As where one pair of brackets was forgotten."""
    with pytest.raises(UsageError, match=words):
        boards_from(tables, "it.toml")


def test_a_name_that_comes_twice_is_refused():
    """Nobody could say which of both is meant."""
    table = {"name": "mine", "flash": 1, "ram": 1}
    with pytest.raises(UsageError, match="'mine' comes twice"):
        boards_from([table, table], "it.toml")


@pytest.mark.parametrize(
    ("size", "read"),
    [
        (1, 1),
        ("1", 1),
        ("256KiB", 262144),
        ("256 kb", 262144),
        ("1 M", 1 << 20),
        ("0.5 GiB", 1 << 29),
    ],
)
def test_sizes_have_units(size, read):
    """K is 1,024 in all spellings, as in the datasheets of microcontrollers."""
    assert parse_size(size, "it") == read


# -- budgets --------------------------------------------------------------------------------------


def test_a_budget_is_read():
    """Sizes as of a board; what is left out has no limit."""
    assert Budget.parse({"flash": "1 MiB", "cycles": 2e6}) == Budget(1 << 20, None, 2_000_000)
    assert Budget.parse({}) == Budget()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"rom": 1}, "unknown key 'rom'"),
        ({"flsh": 1}, "did you mean 'flash'"),
        ({"ram": "lots"}, "'ram' is 'lots', expected bytes"),
        ({"cycles": 0}, "'cycles' is 0, expected a number of at least 1"),
        ({"cycles": "2M"}, "'cycles' is '2M'"),
        ({"cycles": 1.5}, "'cycles' is 1.5"),
        ({"cycles": float("inf")}, "'cycles' is inf"),
        ("1 MiB", "is '1 MiB', expected a table with flash, ram, cycles"),
    ],
)
def test_a_malformed_budget_is_refused(table, words):
    """With the place of it."""
    with pytest.raises(UsageError) as error:
        Budget.parse(table)
    assert str(error.value).startswith("[tool.tinyml_bench.budget]")
    assert words in str(error.value)
