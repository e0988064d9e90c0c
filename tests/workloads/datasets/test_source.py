"""Files are looked for in a fixed order, verified, and fetched by one process at a time."""

from __future__ import annotations

import errno
import gzip
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tinyml_bench.errors import CacheError, DataCorruptError, DataMissingError, UsageError
from tinyml_bench.workloads.datasets.fetchers import FetchError
from tinyml_bench.workloads.datasets.locations import DataFile
from tinyml_bench.workloads.datasets.source import FileSource

CONTENTS = {"images": b"pixels" * 100, "labels": b"classes"}
FILES = tuple(DataFile(n, hashlib.sha256(c).hexdigest(), len(c)) for n, c in CONTENTS.items())


def put(folder: Path, **other: bytes) -> Path:
    """Write the files, gzip-compressed; `other` replaces contents."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**CONTENTS, **other}.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder


@dataclass(frozen=True)
class Fake:
    """A fetcher that does what it is told, and remembers the folders it was given."""

    act: Callable[[Path], object]
    label: str = "fake"
    advice: str = "ask the fake"
    calls: list[Path] = field(default_factory=list, compare=False)

    def fetch(self, folder: Path, *, progress: bool) -> None:
        """Remember the call and act."""
        self.calls.append(folder)
        self.act(folder)


def raising(error: BaseException) -> Callable[[Path], object]:
    """Return an act that writes half a file and then fails."""

    def act(folder: Path) -> None:
        (folder / "half").write_bytes(b"half a file")
        raise error

    return act


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is given, the network is allowed, and the cache is empty."""
    monkeypatch.delenv("TINYML_BENCH_DATA", raising=False)
    monkeypatch.delenv("TINYML_BENCH_OFFLINE", raising=False)
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets" / "toy"


def make(tmp_path: Path, *fetchers: Fake) -> FileSource:
    """Return a source of two files with a system folder and these fetchers."""
    return FileSource("toy", FILES, ("toy-data", "toy"), (tmp_path / "system",), fetchers)


def leftovers(cached: Path) -> list[str]:
    """Everything in the cache but the lock and finished files."""
    finished = {"images.gz", "labels.gz", "toy", ".toy.lock"}
    return [p.name for p in cached.parent.rglob("*") if p.name not in finished]


def test_places_are_tried_in_the_documented_order(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given sub-folders, given folder, cache, system: each wins over the ones after it."""
    given = tmp_path / "given"
    monkeypatch.setenv("TINYML_BENCH_DATA", str(given))
    source = make(tmp_path)
    assert source.locate() is None
    for folder in (tmp_path / "system", cached, given, given / "toy", given / "toy-data"):
        put(folder)
        assert source.locate() == folder
        assert source.read("labels") == (CONTENTS["labels"],)


def test_found_files_are_not_fetched(tmp_path: Path) -> None:
    """No fetcher runs, and nothing is written, where a system folder has the files."""
    put(tmp_path / "system")
    fake = Fake(put)
    assert make(tmp_path, fake).obtain() == tmp_path / "system"
    assert fake.calls == []
    assert not (tmp_path / "cache").exists()


def test_a_part_of_the_files_is_enough_for_that_part(tmp_path: Path) -> None:
    """A folder without the labels serves who wants the images, and nobody else."""
    (put(tmp_path / "system") / "labels.gz").unlink()
    source = make(tmp_path)
    assert source.read("images") == (CONTENTS["images"],)
    assert source.locate("images") == tmp_path / "system"
    assert source.locate() is None


def test_contents_come_in_the_order_asked_for(tmp_path: Path) -> None:
    """`read` follows its arguments, not the declaration."""
    put(tmp_path / "system")
    contents = make(tmp_path).read("labels", "images")
    assert contents == (CONTENTS["labels"], CONTENTS["images"])


def test_an_unknown_file_is_a_usage_error(tmp_path: Path) -> None:
    """A file that the source does not declare is named with the known ones."""
    with pytest.raises(UsageError, match=r"unknown file of toy 'label'.*Known: images, labels"):
        make(tmp_path).locate("label")


def test_fetching_fills_the_cache(tmp_path: Path, cached: Path) -> None:
    """What a fetcher brings lands in the cache, readable by others, and is found from then on."""
    fake = Fake(put)
    source = make(tmp_path, fake)
    assert source.read("images") == (CONTENTS["images"],)
    assert source.locate() == cached
    assert source.fetch() == cached
    assert len(fake.calls) == 1
    assert (cached / "images.gz").stat().st_mode & 0o777 == 0o644
    assert leftovers(cached) == []


def test_a_failing_fetcher_gives_way_to_the_next(tmp_path: Path, cached: Path) -> None:
    """A failure, missing files and wrong files each lead on; nothing of them stays."""
    wrong = Fake(lambda folder: put(folder, images=b"other"))
    partial = Fake(lambda folder: (put(folder) / "labels.gz").unlink())
    source = make(tmp_path, Fake(raising(FetchError("no route"))), wrong, partial, Fake(put))
    assert source.fetch() == cached
    assert source.read("images", "labels") == tuple(CONTENTS.values())
    assert leftovers(cached) == []


def test_where_nothing_works_all_is_told(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message lists each place with its reason, and what can be done."""
    monkeypatch.setenv("TINYML_BENCH_DATA", str(tmp_path / "given"))
    wrong = Fake(lambda folder: put(folder, images=b"other"), label="mirror")
    source = make(tmp_path, Fake(raising(FetchError("no route")), label="official"), wrong)
    with pytest.raises(DataMissingError) as caught:
        source.read("images")
    message = str(caught.value)
    assert f"TINYML_BENCH_DATA={tmp_path / 'given'}: no such folder" in message
    assert f"cache {cached}: no readable images[.gz]" in message
    assert f"system folder {tmp_path / 'system'}: no such folder" in message
    assert "official: no route" in message
    assert "mirror: " in message
    assert f"expected sha256 {FILES[0].checksum}" in message
    for advice in ("tinyml-bench data fetch toy", "export TINYML_BENCH_DATA=", "ask the fake"):
        assert advice in message
    assert leftovers(cached) == []


def test_an_unset_data_folder_is_mentioned(tmp_path: Path) -> None:
    """Who has set nothing learns that it could be set."""
    with pytest.raises(DataMissingError, match="TINYML_BENCH_DATA: not set"):
        make(tmp_path).obtain()


def test_offline_asks_no_fetcher(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TINYML_BENCH_OFFLINE makes each fetcher a stated reason, and the cache is not touched."""
    monkeypatch.setenv("TINYML_BENCH_OFFLINE", "1")
    fake = Fake(put)
    with pytest.raises(DataMissingError, match="fake: not tried, TINYML_BENCH_OFFLINE is set"):
        make(tmp_path, fake).fetch()
    assert fake.calls == []
    assert not cached.parent.exists()


def test_offline_still_serves_the_cache(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filled cache needs no network, for `fetch` too."""
    monkeypatch.setenv("TINYML_BENCH_OFFLINE", "1")
    put(cached)
    assert make(tmp_path).fetch() == cached


def test_offline_set_to_zero_is_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``TINYML_BENCH_OFFLINE=0`` forbids nothing."""
    monkeypatch.setenv("TINYML_BENCH_OFFLINE", "0")
    fake = Fake(put)
    make(tmp_path, fake).fetch()
    assert len(fake.calls) == 1


def test_a_wrong_given_file_stops_at_once(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A given folder with wrong content is an error even where a later place is right."""
    put(tmp_path / "system")
    given = put(tmp_path / "given", images=b"digits")
    monkeypatch.setenv("TINYML_BENCH_DATA", str(given))
    fake = Fake(put)
    with pytest.raises(DataCorruptError, match="Delete or replace it") as caught:
        make(tmp_path, fake).read("images")
    assert str(given / "images.gz") in str(caught.value)
    assert (given / "images.gz").exists()
    assert fake.calls == []
    assert not cached.parent.exists()


@pytest.mark.parametrize("by_reading", [True, False])
def test_a_wrong_file_in_the_cache_is_fetched_again(
    tmp_path: Path, cached: Path, by_reading: bool
) -> None:
    """The cache heals itself, by `read` and by `fetch`, however the wrong file is spelled."""
    put(cached)
    (cached / "images").write_bytes(b"damaged, and not compressed")
    fake = Fake(put)
    source = make(tmp_path, fake)
    if not by_reading:
        source.fetch()
        assert len(fake.calls) == 1
    assert source.read("images") == (CONTENTS["images"],)
    assert len(fake.calls) == 1
    assert leftovers(cached) == []


def test_a_right_file_in_the_cache_survives_a_wrong_one(tmp_path: Path, cached: Path) -> None:
    """Offline, only the wrong file is lost."""
    put(cached, images=b"damaged")
    source = make(tmp_path)
    with pytest.raises(DataMissingError, match=r"no readable images\[.gz\]"):
        source.read("images", "labels")
    assert source.read("labels") == (CONTENTS["labels"],)


def test_a_cache_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the folder, the reason, and the variable that names another."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError, match=r"Not a directory.* set TINYML_BENCH_CACHE") as caught:
        make(tmp_path, Fake(put)).fetch()
    assert str(tmp_path / "file") in str(caught.value)


def test_a_full_disk_is_a_cache_error(tmp_path: Path, cached: Path) -> None:
    """A disk that fills up while fetching is reported as that, and nothing half stays."""
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(CacheError, match="No space left on device"):
        make(tmp_path, Fake(raising(full)), Fake(put)).fetch()
    assert leftovers(cached) == []


def test_an_interrupt_leaves_nothing_half(tmp_path: Path, cached: Path) -> None:
    """After Ctrl-C the cache is as before, and the next fetch works."""
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, Fake(raising(KeyboardInterrupt()))).fetch()
    assert leftovers(cached) == []
    assert make(tmp_path, Fake(put)).fetch() == cached


def test_what_a_killed_fetch_left_is_cleared(tmp_path: Path, cached: Path) -> None:
    """The next fetch removes the working folder of a process that could not."""
    (cached.parent / ".toy-abandoned").mkdir(parents=True)
    make(tmp_path, Fake(put)).fetch()
    assert leftovers(cached) == []


def test_two_at_once_fetch_once(tmp_path: Path, cached: Path) -> None:
    """Of two that want the files at the same moment one fetches, and both get them."""
    meeting = threading.Barrier(2)
    fake = Fake(put)
    source = make(tmp_path, fake)

    def want(_: int) -> tuple[bytes, ...]:
        meeting.wait(timeout=10)
        return source.read("images", "labels")

    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(want, range(2)))
    assert got == [tuple(CONTENTS.values())] * 2
    assert len(fake.calls) == 1
    assert leftovers(cached) == []


def test_the_second_waits_for_the_first(tmp_path: Path, cached: Path) -> None:
    """While one fetches no other does, even if the first takes its time."""
    started, go_on = threading.Event(), threading.Event()

    def slowly(folder: Path) -> None:
        started.set()
        assert go_on.wait(timeout=10)
        put(folder)

    slow, second = Fake(slowly), Fake(put)
    with ThreadPoolExecutor(2) as pool:
        first_done = pool.submit(make(tmp_path, slow).fetch)
        assert started.wait(timeout=10)
        second_done = pool.submit(make(tmp_path, second).fetch)
        go_on.set()
        assert first_done.result(timeout=10) == second_done.result(timeout=10) == cached
    assert second.calls == []


def test_without_locks_nothing_is_lost(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without locks both fetch, and the files are whole."""
    monkeypatch.setattr("tinyml_bench.system.files._acquired", lambda _: False)
    meeting = threading.Barrier(2)

    def together(folder: Path) -> None:
        meeting.wait(timeout=10)
        put(folder)

    fake = Fake(together)
    source = make(tmp_path, fake)
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(lambda _: source.read("images", "labels"), range(2)))
    assert got == [tuple(CONTENTS.values())] * 2
    assert len(fake.calls) == 2
    assert leftovers(cached) == []


def test_sizes_add_up(tmp_path: Path) -> None:
    """The size of a source is that of its decompressed files."""
    assert make(tmp_path).size_bytes == 607
