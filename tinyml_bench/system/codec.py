"""Records as JSON and back: the form of a record is its dataclass, stated once.

A form writes a value as plain JSON types and reads it back strictly. What is wrong is an
:class:`FormError`: a path into the document and what stands there, which each reader of files puts
in its own words.
"""

from __future__ import annotations

import enum
import sys
from collections import abc
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from tinyml_bench.errors import UsageError

T = TypeVar("T")
K = TypeVar("K", bound=enum.Enum)

Path = tuple[str | int, ...]
"""Where in a document: names of fields, keys of mappings, positions in lists."""


class Key(str):
    """A key of a mapping in a path, where other texts are names of fields."""

    __slots__ = ()


class FormError(ValueError):
    """A value that has not the form that is declared for it.

    Parameters
    ----------
    path : Path
        Where it stands.
    problem : str
        What is wrong, as it is said after a place, with the blank or colon before it.
    value : object
        What stands there.
    """

    def __init__(self, path: Path, problem: str, value: Any = None) -> None:
        super().__init__(path, problem, value)
        self.path, self.problem, self.value = path, problem, value

    @property
    def field(self) -> str:
        """The nearest field or key above it that has a name."""
        return next((str(part) for part in reversed(self.path) if isinstance(part, str)), "")

    def __str__(self) -> str:
        """Return the place by the names of its fields, and what is wrong there."""
        names = (part for part in self.path if isinstance(part, str) and not isinstance(part, Key))
        return f"holds {'.'.join(names)!r}{self.problem}"


class MissingError(FormError):
    """A field that is not there; the path ends with its name."""

    def __str__(self) -> str:
        return f"lacks {self.field!r}"


class NotFiniteError(FormError):
    """A number that cannot be written, as JSON has none that is NaN or infinite."""

    def __str__(self) -> str:
        return f"holds {self.value}, which is no measured value"


class WrongKindError(FormError):
    """A value of another type than the declared one.

    Parameters
    ----------
    path : Path
    value : object
        What stands there.
    kind : type
        What was expected: ``dict``, ``list``, ``str``, ``int``, ``bool``, or ``float`` for any
        finite number.
    nullable : bool
        Null would have done, too.
    """

    def __init__(self, path: Path, value: object, kind: type, nullable: bool = False) -> None:
        wanted = "an object" if kind is dict else kind.__name__
        super().__init__(path, f": {value!r}, expected {wanted}", value)
        self.kind, self.nullable = kind, nullable


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """How values of one type are written as plain JSON types, and read back.

    Parameters
    ----------
    read : callable
        From a JSON value and its path; raises :class:`FormError`.
    write : callable
        To a JSON value, from a value and its path; raises :class:`FormError`.
    """

    read: Callable[[Any, Path], T]
    write: Callable[[T, Path], Any]


def _plain(kind: type[T]) -> Form[T]:
    def read(value: Any, path: Path) -> T:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise WrongKindError(path, value, kind)
        return value

    # A worker may hand over numpy's values; JSON gets Python's.
    return Form(read, lambda value, _: kind(value))  # type: ignore[call-arg] # each takes a value


def _read_number(value: Any, path: Path) -> float:
    # Compared, not asked by math.isfinite: JSON may hold an integer that no float can.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value) <= sys.float_info.max:
        raise WrongKindError(path, value, float)
    return value  # type: ignore[no-any-return] # checked above


def _written_number(value: float, path: Path) -> float:
    # Whole numbers of bytes read better without a fraction.
    plain = value if isinstance(value, int) else float(value)
    if not abs(plain) <= sys.float_info.max:
        raise NotFiniteError(path, f" as {plain}", plain)
    return plain


TEXT: Form[str] = _plain(str)
WHOLE: Form[int] = _plain(int)
FLAG: Form[bool] = _plain(bool)
NUMBER: Form[float] = Form(_read_number, _written_number)
TABLE: Form[dict[str, Any]] = _plain(dict)
LIST: Form[list[Any]] = _plain(list)

_PLAIN: Mapping[Any, Form[Any]] = {str: TEXT, int: WHOLE, bool: FLAG, float: NUMBER}


def listed(form: Form[T]) -> Form[tuple[T, ...]]:
    """Return the form of a tuple of values of `form`, a list in JSON."""
    return Form(
        lambda value, path: tuple(
            form.read(item, (*path, index)) for index, item in enumerate(LIST.read(value, path))
        ),
        lambda value, path: [form.write(item, (*path, index)) for index, item in enumerate(value)],
    )


def mapped(form: Form[T]) -> Form[Mapping[str, T]]:
    """Return the form of a mapping of texts to values of `form`."""
    return Form(
        lambda value, path: {
            key: form.read(item, (*path, Key(key))) for key, item in TABLE.read(value, path).items()
        },
        lambda value, path: {
            key: form.write(item, (*path, Key(key))) for key, item in value.items()
        },
    )


def optional(form: Form[T]) -> Form[T | None]:
    """Return the form of a value of `form` or ``None``."""

    def read(value: Any, path: Path) -> T | None:
        try:
            return None if value is None else form.read(value, path)
        except WrongKindError as error:
            if error.path != path:
                raise
            raise WrongKindError(path, value, error.kind, nullable=True) from error

    return Form(read, lambda value, path: None if value is None else form.write(value, path))


def converted(form: Form[T], read: Callable[[T], Any], write: Callable[[Any], T]) -> Form[Any]:
    """Return the form of what `read` makes of a value of `form`, and `write` turns into one.

    Their ``ValueError`` goes on where a place ends; a ``UsageError`` is a sentence of its own.
    """

    def checked(function: Callable[[Any], Any], value: Any, path: Path) -> Any:
        try:
            return function(value)
        except UsageError as error:
            raise FormError(path, f": {error}") from error
        except ValueError as error:
            raise FormError(path, f" {error}") from error

    return Form(
        lambda value, path: checked(read, form.read(value, path), path),
        lambda value, path: form.write(checked(write, value, path), path),
    )


def own(kind: Any) -> Form[Any]:
    """Return the form of a class that has ``to_json`` and ``from_json``, which give a table."""
    return converted(TABLE, kind.from_json, kind.to_json)


def chosen(kind: type[K]) -> Form[K]:
    """Return the form of an enumeration, by the values of its members."""

    def read(value: Any, path: Path) -> K:
        known = {member.value: member for member in kind}
        if TEXT.read(value, path) in known:
            return known[value]
        raise FormError(path, f" is {value!r}, expected one of {', '.join(known)}")

    return Form(read, lambda value, _: value.value)


def field(table: Mapping[str, Any], name: str, form: Form[T], path: Path = ()) -> T:
    """Read a field of the table at `path`.

    Raises
    ------
    FormError
        It is missing, or has another form.
    """
    if name not in table:
        raise MissingError((*path, name), " is missing")
    return form.read(table[name], (*path, name))


def record(
    kind: type[T],
    forms: Mapping[str, Form[Any]] | None = None,
    *,
    may_lack: Collection[str] = (),
    omitted: Collection[str] = (),
    exact: bool = False,
) -> Form[T]:
    """Return the form of a dataclass, a table of its fields.

    Parameters
    ----------
    kind : type
        A dataclass; the form of a field follows from its annotation.
    forms : mapping of str to Form
        Fields whose form does not, by name.
    may_lack : collection of str
        Fields that a document may lack, and get their default then.
    omitted : collection of str
        Those that it lacks wherever they hold nothing.
    exact : bool
        A table with fewer or other fields is refused as a whole, that of a record in it too. Else
        unknown ones are ignored.
    """
    types = get_type_hints(kind)
    known = {
        part.name: (forms or {}).get(part.name) or form_of(types[part.name], exact)
        for part in fields(kind)  # type: ignore[arg-type] # a dataclass
    }

    def read(value: Any, path: Path) -> T:
        table = TABLE.read(value, path)
        if exact and set(table) != set(known):
            raise FormError(path, f" with {sorted(table)}, expected {sorted(known)}")
        present = [name for name in known if name in table or name not in {*may_lack, *omitted}]
        return kind(**{name: field(table, name, known[name], path) for name in present})

    def write(value: T, path: Path) -> dict[str, Any]:
        held = {name: getattr(value, name) for name in known}
        return {
            name: known[name].write(part, (*path, name))
            for name, part in held.items()
            if part or name not in omitted
        }

    return Form(read, write)


def form_of(annotation: Any, exact: bool = False) -> Form[Any]:
    """Return the form that follows from a type; `exact` goes for the records in it.

    Raises
    ------
    TypeError
        None does.
    """
    origin, of = get_origin(annotation), get_args(annotation)
    if origin is tuple and of[1:] == (...,):
        return listed(form_of(of[0], exact))
    if origin in (Union, UnionType) and of[1:] == (type(None),):
        return optional(form_of(of[0], exact))
    if origin is abc.Mapping and of[0] is str:
        return mapped(form_of(of[1], exact))
    if isinstance(annotation, type) and (form := _form_of_class(annotation, exact)):
        return form
    raise TypeError(f"{annotation} has no form in JSON: state one")


def _form_of_class(kind: type[Any], exact: bool) -> Form[Any] | None:
    if issubclass(kind, enum.Enum):
        return chosen(kind)
    if hasattr(kind, "from_json"):
        return own(kind)
    return record(kind, exact=exact) if is_dataclass(kind) else _PLAIN.get(kind)


def upgraded(
    document: dict[str, Any], upgrades: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]
) -> dict[str, Any]:
    """Bring a document from the format that it states to the newest that `upgrades` lead to.

    Parameters
    ----------
    upgrades : mapping of int to callable
        Format to the function that turns such a document into one of the next format.

    Raises
    ------
    FormError
        It states no format.
    """
    while (version := field(document, "format", WHOLE)) in upgrades:
        document = upgrades[version](document)
    return document
