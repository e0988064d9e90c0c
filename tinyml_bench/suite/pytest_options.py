"""What pytest's command line asks of the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.suite.baseline_update import Request
from tinyml_bench.suite.options import Options
from tinyml_bench.tflite.runtime import Runtime, usual


def options_of(config: pytest.Config) -> Options:
    """Translate what a run is to do differently.

    Raises
    ------
    UsageError
        A number is not one, or out of range.
    """
    option = config.option
    return Options(
        baselines=Path(option.tinyml_baselines) if option.tinyml_baselines else None,
        samples=_samples(option.tinyml_samples),
        all_samples=option.tinyml_samples == "all",
        workers=option.tinyml_workers,
        time_limit_seconds=option.tinyml_time_limit,
        cache=not option.tinyml_no_cache,
        profile=option.tinyml_profile,
        instructions=option.tinyml_instructions,
        against=option.tinyml_against or "",
        device=option.tinyml_device,
        accelerator=option.tinyml_npu or "",
        board=option.tinyml_board or "",
        runtime=Runtime(
            option.tinyml_runtime or usual(), option.tinyml_kernels, option.tinyml_threads
        ),
    )


def request_of(config: pytest.Config) -> Request:
    """Translate what a run is to store.

    Raises
    ------
    UsageError
        A reason is empty, or given for nothing.
    """
    option = config.option
    times, reason = option.baseline_update, option.reason
    if reason is not None and not times:
        raise UsageError(
            "--reason says why worse values are stored; give --baseline-update with it"
        )
    if reason is not None and not reason.strip():
        raise UsageError("--reason is empty; say why the worse values are to be stored")
    mode = "all" if times else "new" if option.baseline_update_new else "none"
    return Request(mode, (reason or "").strip(), many=times > 1)


def is_filtered(config: pytest.Config) -> bool:
    """Tell whether tests were left out on purpose, as far as the command line says."""
    names = ("keyword", "markexpr", "deselect", "lf", "stepwise", "maxfail")
    named = any("::" in str(argument) for argument in config.args)
    return named or any(getattr(config.option, name, None) for name in names)


def as_started(config: pytest.Config, text: str) -> str:
    """Return `text` with its command lines such as would start a run like this one."""
    if config.option.tinyml:
        return text.replace("pytest benchmarks/", "pytest --tinyml")
    if not (config.rootpath / "benchmarks").is_dir():
        return text.replace("pytest benchmarks/", "pytest")
    return text


def _samples(text: str | None) -> int | None:
    if text is None or text == "all":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"--tinyml-samples is {text!r}; expected a number of images, or 'all'")
    return int(text)
