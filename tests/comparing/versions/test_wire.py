"""Messages survive the way, and nothing else passes for one."""

import io
import struct

import pytest

from tinyml_bench.comparing.versions.wire import GarbageError, packed, unpacked


def reader(content):
    """Return a function that reads exactly so many bytes of `content`."""
    stream = io.BytesIO(content)

    def read(size):
        piece = stream.read(size)
        if len(piece) < size:
            raise EOFError
        return piece

    return read


def test_messages_come_out_one_by_one_as_they_went_in():
    """Bytes of any kind, and JSON values; the second begins where the first ends."""
    first = packed({"text": "ä", "n": [1, 2.5, None]}, [b"\x00\xff", b"", b"x" * 1000])
    read = reader(first + packed({}))
    assert unpacked(read) == ({"text": "ä", "n": [1, 2.5, None]}, (b"\x00\xff", b"", b"x" * 1000))
    assert unpacked(read) == ({}, ())


def test_what_is_printed_by_mistake_is_no_message():
    """A library's banner on the pipe is told at its first bytes."""
    with pytest.raises(GarbageError, match="expected a message"):
        unpacked(reader(b"Hello from a library\n" * 3))


def message(header, length=None):
    """Return a message with the raw bytes `header` for its header."""
    start = struct.pack("!8sI", b"tinyml-1", len(header) if length is None else length)
    return start + header


@pytest.mark.parametrize(
    "content",
    [
        message(b"{not json"),
        message(b"[]"),
        message(b'{"header": 3, "blobs": []}'),
        message(b'{"header": {}, "blobs": [-1]}'),
        message(b'{"header": {}, "blobs": [99999999999]}'),
        message(b"", length=1 << 30),
    ],
)
def test_a_damaged_header_is_no_message(content):
    """Neither a wrong form nor a size that would fill the memory is believed."""
    with pytest.raises(GarbageError):
        unpacked(reader(content))


def test_the_end_inside_of_a_message_is_the_end():
    """It is not taken for a shorter message."""
    with pytest.raises(EOFError):
        unpacked(reader(packed({}, [b"abc"])[:-1]))
