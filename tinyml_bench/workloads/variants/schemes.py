"""The schemes of LiteRT's quantizer, and whether they need calibration samples."""

from __future__ import annotations

import json
from typing import Final

from tinyml_bench.errors import UsageError
from tinyml_bench.system.machine import version_of

LITERT: Final = "litert"
"""The one quantizer that a recipe can name."""
# Package to module. The second one is the former name of the first, with the same functions.
_PACKAGES: Final = {
    "litert-quantizer": "litert_quantizer",
    "ai-edge-quantizer": "ai_edge_quantizer",
}


def version() -> str:
    """Return the installed package and its version; empty where none is installed.

    The bytes that a recipe gives depend on it, so it is part of what names a cached file.
    """
    versions = ((name, version_of(name)) for name in _PACKAGES)
    return next((f"{name} {number}" for name, number in versions if number), "")


def needs_calibration(scheme: str) -> bool:
    """Tell whether a scheme quantizes activations statically, which needs calibration samples.

    Parameters
    ----------
    scheme : str
        Name of a ready-made one, or the JSON text of a recipe file.

    Examples
    --------
    >>> needs_calibration("static_wi8_ai8"), needs_calibration("dynamic_wi8_afp32")
    (True, False)
    """
    if not _is_json(scheme):
        return scheme.startswith("static_")
    return any(
        "activation_tensor_config" in (entry.get("op_config") or {})
        or entry.get("algorithm_key") == "GPTQ"
        for entry in json.loads(scheme)
    )


def checked_scheme(text: str, source: str) -> str:
    """Return the JSON text of a recipe file on one line.

    Raises
    ------
    UsageError
        It is no list of entries as the quantizer writes them; the message names `source`.
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{source} is not JSON ({error}); {_EXPECTED}") from error
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{source} holds no list of entries; {_EXPECTED}")
    for number, entry in enumerate(entries):
        lacking = _ENTRY_KEYS - set(entry) if isinstance(entry, dict) else _ENTRY_KEYS
        if lacking:
            raise UsageError(
                f"entry {number} of {source} lacks {', '.join(sorted(lacking))}; {_EXPECTED}"
            )
    return json.dumps(entries, sort_keys=True)


_ENTRY_KEYS: Final = frozenset({"regex", "operation", "algorithm_key"})
_EXPECTED: Final = (
    "expected what the quantizer's get_quantization_recipe() gives: a list of objects with regex, "
    "operation, algorithm_key and op_config"
)


def _is_json(scheme: str) -> bool:
    return scheme.startswith("[")
