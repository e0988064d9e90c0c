"""The id of a case: a dataset, a model and a variant."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tinyml_bench.errors import UsageError

_PART = re.compile(r"[a-z0-9][a-z0-9_]*")


@dataclass(frozen=True, slots=True, order=True)
class CaseId:
    """A workload in a variant, spelled ``<dataset>-<model>-<variant>`` everywhere.

    Examples
    --------
    >>> case = CaseId.parse("fashion_mnist-custom-int8")
    >>> case.workload, case.variant
    ('fashion_mnist-custom', 'int8')
    >>> str(case)
    'fashion_mnist-custom-int8'
    """

    dataset: str
    model: str
    variant: str

    def __post_init__(self) -> None:
        for part in (self.dataset, self.model, self.variant):
            if not _PART.fullmatch(part):
                raise UsageError(
                    f"{part!r} cannot be part of a case id: use lower-case letters, digits and "
                    f"'_' inside a part ('-' separates dataset, model and variant)"
                )

    @classmethod
    def parse(cls, text: str) -> CaseId:
        """Read a case id.

        Raises
        ------
        UsageError
            `text` is not three parts joined by ``-``.
        """
        parts = text.split("-")
        if len(parts) != 3:
            raise UsageError(
                f"{text!r} is not a case id: expected <dataset>-<model>-<variant>, "
                f"such as fashion_mnist-custom-int8"
            )
        return cls(*parts)

    @property
    def workload(self) -> str:
        """The workload's id, ``<dataset>-<model>``."""
        return f"{self.dataset}-{self.model}"

    def __str__(self) -> str:
        return f"{self.dataset}-{self.model}-{self.variant}"
