"""Registering a model of one's own with its samples, in a few lines."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.rules import REGISTRATION, Rule
from tinyml_bench.metrics.registry import qualities
from tinyml_bench.records.case import CaseId
from tinyml_bench.system.registry import unknown_name
from tinyml_bench.system.workers.pickling import ship_by_value
from tinyml_bench.workloads.cases import lacking
from tinyml_bench.workloads.datasets import DATASETS, Dataset, class_folders
from tinyml_bench.workloads.datasets.user_dataset import UserDataset
from tinyml_bench.workloads.datasets.user_samples import Samples
from tinyml_bench.workloads.models.sources import network_of
from tinyml_bench.workloads.variants.recipes import REFERENCE, SIBLING, VARIANTS
from tinyml_bench.workloads.workload import PROFILES, WORKLOADS, Build, Workload


def register(  # noqa: PLR0913 - a declaration: all but the name are keywords
    name: str,
    *,
    model: Any,
    test: Any,
    train: Any = None,
    calibration: Any = None,
    metrics: Sequence[str] = ("accuracy",),
    variants: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    reference: str | None = None,
    required: Sequence[str] = (),
    tolerances: Mapping[str, Any] | None = None,
    budget: Mapping[str, Any] | None = None,
    samples: int | None = None,
    deviations: Sequence[Mapping[str, Any]] = (),
    profile: str = "quick",
    replace: bool = False,
    allow_custom_code: Sequence[str] = (),
) -> None:
    """Register a model with the samples that it is judged on.

    Nothing is loaded, read or written here: that is done when the workload is first measured.
    A relative path is relative to the file that calls this.

    Parameters
    ----------
    name : str
        ``<dataset>-<model>``: workloads whose names share the first part share their samples.
    model : object
        A Keras model (Keras 3 or tf_keras), a function that returns one, a ``.keras`` or ``.h5``
        file, the folder of a SavedModel, a float ``.tflite`` file, or ``{variant: .tflite file}``
        of files that are judged as they are.
    test : object
        What the model is judged on: ``(inputs, labels)`` arrays (inputs: one array, or a tuple or
        mapping of arrays for several inputs), inputs alone, a ``tf.data.Dataset``, a function that
        returns any of these or an iterator over ``(input, label)``, an ``.npz`` file with arrays
        ``x`` and ``y``, or a folder with one folder of images per class. At least 10 samples.
    train : object
        Samples in any of these forms. Calibration samples are drawn from them, about 200, of each
        class its share, always the same ones; of a stream from its first 5,000. ``None`` leaves
        variants out that need calibration.
    calibration : object
        Samples in any of these forms that all calibrate, instead of some drawn from `train`.
    metrics : sequence of str
        Names of metrics; see :mod:`tinyml_bench.metrics.registry`.
    variants : sequence of str or None
        Which to judge; ``None`` for all that can be made of a Keras model or SavedModel without
        being asked for, and for the given files where those are ``.tflite``.
    class_names : sequence of str or None
        One name per class index; ``None`` shows indices, and for a folder of images its folders.
    reference : str or None
        The variant that the others are compared with, of ``.tflite`` files; ``None`` for
        ``"float32"``, or the first file where there is none of that name.
    required, tolerances, budget, samples, deviations
        As in ``[tool.tinyml_bench.policy."<name>"]`` of ``pyproject.toml``, which wins over them.
    profile : {"quick", "full"}
        ``"full"`` runs only where ``--tinyml-profile=full`` asks for it.
    replace : bool
        Take the place of a workload of the same name.
    allow_custom_code : sequence of str
        Classes of your own in a ``.keras`` or ``.h5`` file whose code may be run, ``"Lambda"`` for
        layers of that kind.

    Raises
    ------
    UsageError
        An argument is none of what is expected; the message names it.

    Examples
    --------
    >>> import numpy as np, tinyml_bench
    >>> restore = WORKLOADS.snapshot(), DATASETS.snapshot()
    >>> samples = np.zeros((20, 8, 8, 1), np.uint8), np.arange(20) % 2
    >>> tinyml_bench.register(
    ...     "squares-net", model={"float32": "net.tflite", "int8": "net8.tflite"}, test=samples
    ... )
    >>> WORKLOADS["squares-net"].reference
    'float32'
    >>> [undo() for undo in restore]
    [None, None]
    """
    case = _first_case(name)
    folder = _folder_of_caller()
    argument = f"register({name!r}): "
    if profile not in PROFILES:
        raise UsageError(argument + unknown_name("profile", profile, list(PROFILES)))
    _check_metrics(argument, metrics)
    provided = _provided(argument, folder, test, train, calibration)
    build, files, compared = _network(argument, model, folder, tuple(allow_custom_code), reference)
    rules = {
        "required": list(required),
        "tolerances": dict(tolerances or {}),
        "budget": budget,
        "samples": samples,
        "deviations": list(deviations),
    }
    policy = {key: value for key, value in rules.items() if value not in (None, [], {})}
    Rule.parse(name, policy, REGISTRATION)  # raises where it is malformed
    entry = Workload(
        case.dataset,
        case.model,
        build,
        variants=None if variants is None else tuple(variants),
        profile=profile,
        metrics=tuple(metrics),
        reference=compared,
        sibling=compared if files else SIBLING,
        files=files,
        policy=policy,
        calibrates=provided.calibrates,
    )
    _check_variants(argument, entry)
    dataset = _dataset(argument, case.dataset, provided, class_names)
    _add(dataset, entry, replace=replace)


def _first_case(name: str) -> CaseId:
    dataset, separator, model = name.partition("-")
    if not separator:
        raise UsageError(f"register({name!r}): expected <dataset>-<model>, such as 'digits-net'")
    return CaseId(dataset, model, REFERENCE)


def _folder_of_caller() -> Path:
    """Return the folder of the file that calls `register`, or the current one without a file."""
    file = sys._getframe(2).f_globals.get("__file__")
    return Path(file).resolve().parent if file else Path.cwd()


def _provided(argument: str, folder: Path, test: Any, train: Any, calibration: Any) -> UserDataset:
    given = {"test": test, "train": train, "calibration": calibration}
    made = {
        word: None if one is None else Samples(f"{argument}{word}=", one, folder)
        for word, one in given.items()
    }
    if made["test"] is None:
        raise UsageError(f"{argument}test= is None; a model is judged on labelled samples")
    for one in made.values():
        if one is not None and callable(one.given):
            ship_by_value(one.given)
    return UserDataset(made["test"], made["train"], made["calibration"])


def _network(
    argument: str, model: Any, folder: Path, allowed: tuple[str, ...], reference: str | None
) -> tuple[Build, dict[str, Path], str]:
    """Return what builds the network, or its files, and the variant to compare with."""
    found = network_of(f"{argument}model=", model, folder, allowed)
    if not isinstance(found, dict):
        if reference not in (None, REFERENCE):
            raise UsageError(
                f"{argument}reference={reference!r}: a Keras model or SavedModel is compared with "
                f"itself, {REFERENCE!r}"
            )
        return found, {}, REFERENCE
    files = {(variant or reference or SIBLING): path for variant, path in found.items()}
    for variant in files:
        CaseId("dataset", "model", variant)  # raises where the name is malformed
    if reference is not None and reference not in files:
        raise UsageError(argument + "reference=: " + unknown_name("file", reference, list(files)))
    if REFERENCE in files:
        raise UsageError(f"{argument}model=: {REFERENCE!r} is the Keras model, not a .tflite file")
    return _no_network, files, reference or (SIBLING if SIBLING in files else next(iter(files)))


def _no_network() -> Any:
    raise UsageError("there are .tflite files only, and no network to build")


def _check_metrics(argument: str, metrics: Sequence[str]) -> None:
    try:
        qualities(metrics if isinstance(metrics, str) else tuple(metrics))
    except UsageError as error:
        raise UsageError(f"{argument}metrics=: {error}") from error


def _check_variants(argument: str, workload: Workload) -> None:
    """Refuse what cannot be made; variants that are registered later are checked when they run."""
    asked = workload.variants or ()
    if workload.variants is not None and not asked:
        raise UsageError(f"{argument}variants= is empty; leave it out for the usual ones")
    for variant in asked:
        known = variant in VARIANTS or variant in workload.files
        if known and (reason := lacking(workload, variant)):
            raise UsageError(f"{argument}variants=, {variant!r}: {reason}")


def _dataset(
    argument: str, name: str, provided: UserDataset, class_names: Sequence[str] | None
) -> Dataset:
    names = tuple(class_names or ())
    if isinstance(class_names, str) or len(set(names)) < len(names) or len(names) == 1:
        raise UsageError(
            f"{argument}class_names=: expected two or more different names, got {class_names!r}"
        )
    path = provided.test.path
    if path is not None and path.is_dir():
        found = class_folders.class_names(path)
        if names and names != found:
            raise UsageError(
                f"{argument}class_names=: the folders in {path} are {', '.join(found)}, in this "
                f"order; leave class_names out"
            )
        names = found
    return Dataset(name, names, "", "", provided)


def _add(dataset: Dataset, workload: Workload, *, replace: bool) -> None:
    """Add both or none."""
    known = DATASETS[dataset.name] if dataset.name in DATASETS else None  # noqa: SIM401 - no dict
    shared = known is not None and _same(known, dataset)
    if known is not None and not shared and not replace:
        raise UsageError(
            f"register({str(workload)!r}): dataset {dataset.name!r} is registered already, with "
            f"other samples; begin the name with another word than {dataset.name!r}, pass the same "
            f"test=, train= and calibration=, or replace=True"
        )
    WORKLOADS.add(str(workload), workload, replace=replace)
    if not shared:
        DATASETS.add(dataset.name, dataset, replace=known is not None)


def _same(known: Dataset, new: Dataset) -> bool:
    return isinstance(new.load, UserDataset) and new.load.same_as(known.load)
