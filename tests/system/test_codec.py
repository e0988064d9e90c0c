"""A record's dataclass is its JSON form: written plainly, read strictly, each fault with a path."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.system import codec
from tinyml_bench.system.codec import FormError, MissingError, NotFiniteError, WrongKindError


class Colour(str, enum.Enum):
    """Two of them."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    """A record in a record."""

    count: int
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    """A record with a field of each sort."""

    name: str
    colour: Colour
    done: bool
    inner: Inner
    rows: tuple[Inner, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    limit: float | None = None


FORM = codec.record(Outer, may_lack=("limit",), omitted=("rows", "notes"))
FULL = Outer("a", Colour.BLUE, True, Inner(1, 2.5), (Inner(3), Inner(4)), {"b": "c"}, 7.0)
TABLE = {
    "name": "a",
    "colour": "blue",
    "done": True,
    "inner": {"count": 1, "share": 2.5},
    "rows": [{"count": 3, "share": 0.5}, {"count": 4, "share": 0.5}],
    "notes": {"b": "c"},
    "limit": 7.0,
}


def test_a_record_is_written_field_by_field_and_comes_back():
    """In the order of its fields, as plain types."""
    written = FORM.write(FULL, ())
    assert written == TABLE
    assert list(written) == list(TABLE)
    assert FORM.read(json.loads(json.dumps(written)), ()) == FULL


def test_what_holds_nothing_is_left_out_and_what_may_be_lacking_gets_its_default():
    """A field that is neither omitted nor optional is always there."""
    plain = Outer("a", Colour.RED, False, Inner(1))
    table = FORM.write(plain, ())
    assert list(table) == ["name", "colour", "done", "inner", "limit"]
    del table["limit"]
    assert FORM.read(table, ()) == plain


def test_numpy_values_become_python_s():
    """Of whole numbers and of others; an integer in a field of numbers stays one."""
    table = codec.record(Inner).write(Inner(np.int64(3), np.float32(0.5)), ())
    assert (type(table["count"]), type(table["share"])) == (int, float)
    assert codec.NUMBER.write(7, ()) == 7
    assert type(codec.NUMBER.write(7, ())) is int


@pytest.mark.parametrize(
    ("change", "path", "kind"),
    [
        ({"name": 1}, ("name",), str),
        ({"done": 1}, ("done",), bool),
        ({"inner": []}, ("inner",), dict),
        ({"inner": {"count": True, "share": 0}}, ("inner", "count"), int),
        ({"inner": {"count": 1.0, "share": 0}}, ("inner", "count"), int),
        ({"inner": {"count": 1, "share": "0"}}, ("inner", "share"), float),
        ({"inner": {"count": 1, "share": 10**400}}, ("inner", "share"), float),
        ({"inner": {"count": 1, "share": float("nan")}}, ("inner", "share"), float),
        ({"rows": {}}, ("rows",), list),
        ({"rows": [{"count": 1, "share": 0}, 2]}, ("rows", 1), dict),
        ({"notes": {"b": None}}, ("notes", "b"), str),
        ({"limit": False}, ("limit",), float),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_path(change, path, kind):
    """With what stands there and what was expected; true is no number."""
    with pytest.raises(WrongKindError) as caught:
        FORM.read(TABLE | change, ())
    assert (caught.value.path, caught.value.kind) == (path, kind)
    assert caught.value.nullable == (path == ("limit",))


def test_a_missing_field_is_named():
    """At any depth."""
    with pytest.raises(MissingError, match="lacks 'share'") as caught:
        FORM.read(TABLE | {"rows": [{"count": 1}]}, ("top",))
    assert caught.value.path == ("top", "rows", 0, "share")


def test_a_message_names_the_fields_but_neither_positions_nor_keys():
    """They are where a file is not known."""
    for change, words in (
        ({"rows": [{"count": "x", "share": 0}]}, "holds 'rows.count': 'x', expected int"),
        ({"notes": {"b": 1}}, "holds 'notes': 1, expected str"),
    ):
        with pytest.raises(FormError) as caught:
            FORM.read(TABLE | change, ())
        assert str(caught.value) == words


def test_an_unknown_field_is_ignored_or_refused():
    """As the record is declared."""
    table = {"count": 1, "share": 0.5, "more": 2}
    assert codec.record(Inner).read(table, ()) == Inner(1)
    with pytest.raises(FormError, match=r"with \['count', 'more', 'share'\], expected \['count'"):
        codec.record(Inner, exact=True).read(table, ())


def test_a_member_of_an_enumeration_is_one_of_its_values():
    """The message lists them."""
    with pytest.raises(FormError, match="holds 'colour' is 'green', expected one of red, blue"):
        FORM.read(TABLE | {"colour": "green"}, ())


@pytest.mark.parametrize("share", [float("nan"), float("inf"), np.float32("nan")])
def test_a_number_that_is_not_finite_is_not_written(share):
    """JSON has none."""
    with pytest.raises(NotFiniteError, match="which is no measured value") as caught:
        FORM.write(Outer("a", Colour.RED, True, Inner(1, share)), ())
    assert caught.value.path == ("inner", "share")


def test_what_a_conversion_refuses_has_its_place():
    """What goes on where a place ends, and a sentence of its own after a colon."""

    def refuse(value):
        if value:
            raise UsageError("not so")
        raise ValueError("is empty")

    form = codec.converted(codec.TEXT, refuse, refuse)
    for function in (form.read, form.write):
        for value, problem in (("", " is empty"), ("x", ": not so")):
            with pytest.raises(FormError) as caught:
                function(value, ("here",))
            assert (caught.value.path, caught.value.problem) == (("here",), problem)


def test_a_type_without_form_needs_one_that_is_stated():
    """A mistake of whoever declares the record, found at import."""

    @dataclass
    class Odd:
        of: object

    with pytest.raises(TypeError, match="has no form in JSON"):
        codec.record(Odd)
    assert codec.record(Odd, {"of": codec.TEXT}).read({"of": "x"}, ()) == Odd("x")


def test_an_older_document_is_upgraded_as_far_as_it_goes():
    """Step by step, and no further."""
    steps = {n: lambda table: {**table, "format": table["format"] + 1} for n in (1, 2)}
    assert codec.upgraded({"format": 1, "a": 2}, steps) == {"format": 3, "a": 2}
    assert codec.upgraded({"format": 9}, steps) == {"format": 9}
    with pytest.raises(MissingError):
        codec.upgraded({}, steps)
