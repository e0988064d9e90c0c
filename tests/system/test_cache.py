"""What was put is found whole or not at all, and nothing about the cache stops a run."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinyml_bench.errors import CacheError, UsageError
from tinyml_bench.system.cache import DEFAULT_LIMIT_BYTES, LIMIT_VARIABLE, Cache
from tinyml_bench.system.cache_key import key

KEY = key(model="a")
OTHER = key(model="b")
CONTENT = bytes(range(256)) * 16
DAY = 86_400


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Return an empty cache."""
    return Cache(tmp_path / "cache")


def files(folder: Path) -> list[Path]:
    """Return every file below `folder`, half-written ones included."""
    return [path for path in folder.rglob("*") if path.is_file()]


def make_older(path: Path, seconds: float) -> None:
    """Pretend that `path` was last used `seconds` ago."""
    when = time.time() - seconds
    os.utime(path, (when, when))


def full_disk(*arguments: object, **options: object) -> None:
    """Fail as a write to a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_was_put_is_found(cache):
    """The file has the content and the suffix, also for a later process."""
    path = cache.put("models", KEY, ".tflite", CONTENT)
    assert path.read_bytes() == CONTENT
    assert path.suffix == ".tflite"
    assert Cache(cache.folder).get("models", KEY, ".tflite") == path


@pytest.mark.parametrize(
    ("kind", "name", "suffix"),
    [("models", OTHER, ".tflite"), ("others", KEY, ".tflite"), ("models", KEY, ".json")],
)
def test_nothing_else_is_found(cache, kind, name, suffix):
    """Kind, key and suffix all count."""
    cache.put("models", KEY, ".tflite", CONTENT)
    assert cache.get(kind, name, suffix) is None


def test_the_last_content_of_a_key_is_found(cache):
    """A second put of a key wins over the first."""
    for content in [b"%d" % (n % 17) for n in range(30)]:
        cache.put("models", KEY, ".tflite", content)
        assert cache.get("models", KEY, ".tflite").read_bytes() == content


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:0],
        lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
        lambda content: content + b"\0",
    ],
    ids=["truncated", "empty", "bit flipped", "longer"],
)
def test_a_damaged_entry_is_absent_and_removed(cache, damage):
    """No damaged content is ever handed out."""
    path = cache.put("models", KEY, ".tflite", CONTENT)
    path.write_bytes(damage(CONTENT))
    assert cache.get("models", KEY, ".tflite") is None
    assert not path.exists()


def test_json_values_are_found(cache):
    """A value comes back equal."""
    value = {"scores": [0.1, 2, None, True], "name": "caf\N{LATIN SMALL LETTER E WITH ACUTE}"}
    cache.put_json("evaluations", KEY, value)
    assert cache.get_json("evaluations", KEY) == value
    assert cache.get_json("evaluations", OTHER) is None


def test_damaged_json_is_absent(cache):
    """A value whose file is damaged, or is no JSON, is not there."""
    cache.put_json("evaluations", KEY, {"accuracy": 0.91})
    (path,) = files(cache.folder)
    path.write_text('{"accuracy": 0.99}')
    assert cache.get_json("evaluations", KEY) is None
    cache.put("evaluations", KEY, ".json", b"no JSON")
    assert cache.get_json("evaluations", KEY) is None


def test_what_json_does_not_know_is_refused(cache):
    """A value that cannot be kept is the caller's mistake."""
    with pytest.raises(TypeError):
        cache.put_json("evaluations", KEY, {"scores": {1, 2}})


@pytest.mark.parametrize(
    ("kind", "name", "suffix"),
    [("../x", KEY, ".json"), ("models", "*", ".json"), ("models", KEY, "/x"), ("", KEY, ".json")],
)
def test_names_that_could_lead_elsewhere_are_refused(cache, kind, name, suffix):
    """No name leads out of the folder or matches other entries."""
    with pytest.raises(ValueError, match="cannot name an entry"):
        cache.get(kind, name, suffix)
    with pytest.raises(ValueError, match="cannot name an entry"):
        cache.put(kind, name, suffix, b"")


def test_a_disabled_cache_keeps_nothing(tmp_path):
    """Nothing is found nor left in the folder, yet `put` gives a file to work with."""
    Cache(tmp_path).put("models", KEY, ".tflite", CONTENT)
    disabled = Cache(tmp_path, enabled=False)
    path = disabled.put("models", KEY, ".tflite", b"other")
    disabled.put_json("evaluations", KEY, 1)
    assert path.read_bytes() == b"other"
    assert tmp_path not in path.parents
    assert disabled.get("models", KEY, ".tflite") is None
    assert len(files(tmp_path)) == 1
    assert disabled.warnings == []


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    """Without a folder of its own the cache is the user's."""
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path))
    assert tmp_path in Cache().put("models", KEY, ".tflite", CONTENT).parents


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the path of an open file")
def test_a_full_disk_does_not_stop_the_run(cache, monkeypatch):
    """The content is elsewhere, no half-written file stays, and one warning says what to do."""
    real, folder = os.fsync, cache.folder

    def fsync(handle: int) -> None:
        if folder in Path(f"/proc/self/fd/{handle}").readlink().parents:
            full_disk()
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    paths = [cache.put("models", name, ".tflite", CONTENT) for name in (KEY, OTHER, KEY)]
    cache.put_json("evaluations", KEY, 1)
    assert [path.read_bytes() for path in paths] == [CONTENT] * 3
    assert len(set(paths)) == 3
    assert files(cache.folder) == []
    (warning,) = cache.warnings
    assert "No space left on device" in warning
    assert str(cache.folder) in warning
    assert "TINYML_BENCH_CACHE=FOLDER" in warning


def test_a_truly_full_disk_does_not_stop_the_run(tmp_path):
    """On a file system of 64 KiB it is the same as with a planted error."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting takes root")
    try:
        cache = Cache(folder)
        small = cache.put("models", OTHER, ".tflite", b"fits")
        path = cache.put("models", KEY, ".tflite", bytes(100_000))
        assert len(path.read_bytes()) == 100_000
        assert files(folder) == [small]
        assert len(cache.warnings) == 1
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_is_a_file_does_not_stop_the_run(tmp_path):
    """A cache folder that cannot be one is told, and the run goes on."""
    (tmp_path / "cache").write_text("")
    cache = Cache(tmp_path / "cache")
    assert cache.get("models", KEY, ".tflite") is None
    assert cache.put("models", KEY, ".tflite", CONTENT).read_bytes() == CONTENT
    assert len(cache.warnings) == 1


def test_without_any_place_to_write_there_is_a_clear_error(cache, monkeypatch):
    """The error names both folders, the reason and what to do."""
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(CacheError) as caught:
        cache.put("models", KEY, ".tflite", CONTENT)
    for part in (str(cache.folder), "temporary folder", "No space left", "TINYML_BENCH_CACHE="):
        assert part in str(caught.value)


def test_ctrl_c_leaves_no_half_written_file(cache, monkeypatch):
    """An interrupt in the middle of a write is passed on, and nothing is left."""

    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.put("models", KEY, ".tflite", CONTENT)
    assert files(cache.folder) == []


def test_a_folder_that_can_only_be_read_still_serves(cache, monkeypatch):
    """Entries are found where their time of use cannot be written."""
    path = cache.put("models", KEY, ".tflite", CONTENT)
    monkeypatch.setattr(os, "utime", full_disk)
    assert cache.get("models", KEY, ".tflite") == path


def test_the_longest_unused_goes_first(cache):
    """Beyond the limit the entries go that nobody has asked for longest."""
    paths = [cache.put("models", key(n=n), ".tflite", bytes([n]) * 1000) for n in range(4)]
    for n, path in enumerate(paths):
        make_older(path, (10 - n) * DAY)
    cache.get("models", key(n=0), ".tflite")
    removed = cache.prune(limit_bytes=2500)
    assert [entry.path for entry in removed] == paths[1:3]
    assert [path.exists() for path in paths] == [True, False, False, True]


def test_a_put_keeps_the_cache_within_its_limit(tmp_path, monkeypatch):
    """The limit of the environment holds without further calls."""
    monkeypatch.setenv(LIMIT_VARIABLE, "1K")
    cache = Cache(tmp_path)
    old = cache.put("models", KEY, ".tflite", bytes(800))
    make_older(old, DAY)
    new = cache.put("models", OTHER, ".tflite", bytes(700))
    assert files(tmp_path) == [new]


def test_what_a_run_may_still_need_stays(tmp_path, monkeypatch):
    """Entries just used stay though the limit is too small for them."""
    monkeypatch.setenv(LIMIT_VARIABLE, "100")
    cache = Cache(tmp_path)
    paths = [cache.put("models", key(n=n), ".tflite", bytes(90)) for n in range(3)]
    assert all(path.exists() for path in paths)


def test_everything_can_be_removed(cache):
    """With no bytes and no time spared nothing is left, an empty entry included."""
    cache.put("models", KEY, ".tflite", CONTENT)
    cache.put("models", OTHER, ".tflite", b"")
    assert len(cache.prune(limit_bytes=0, spared_seconds=0)) == 2
    assert files(cache.folder) == []


def test_only_what_the_cache_wrote_is_touched(cache):
    """Other files below the folder are neither counted nor removed."""
    (cache.folder / "data").mkdir(parents=True)
    for name in ("images.gz", f"{KEY}.gz", "notes.tmp"):
        (cache.folder / "data" / name).write_bytes(CONTENT)
        make_older(cache.folder / "data" / name, DAY)
    cache.prune(limit_bytes=0, spared_seconds=0)
    assert len(files(cache.folder)) == 3
    assert cache.usage().entries == ()


def test_what_a_killed_process_left_is_removed(cache):
    """A half-written file goes once no living process can be at it."""
    path = cache.put("models", KEY, ".tflite", CONTENT)
    program = (
        "import os, sys; from pathlib import Path;"
        "from tinyml_bench.system.cache import Cache;from tinyml_bench.system.cache_key import key;"
        "os.fsync = lambda handle: os._exit(1);"
        "Cache(Path(sys.argv[1])).put('models', key(model='b'), '.tflite', b'half')"
    )
    subprocess.run([sys.executable, "-c", program, str(cache.folder)], check=False)
    (half,) = set(files(cache.folder)) - {path}
    cache.prune()
    assert half.exists()
    make_older(half, DAY)
    cache.prune()
    assert files(cache.folder) == [path]


def test_the_usage_is_listed(cache):
    """The listing has kinds and sizes, the last used first."""
    old = cache.put("models", KEY, ".tflite", bytes(100))
    make_older(old, DAY)
    cache.put_json("evaluations", KEY, [1])
    usage = cache.usage()
    assert [entry.kind for entry in usage.entries] == ["evaluations", "models"]
    assert usage.size_bytes == 103
    assert (usage.folder, usage.limit_bytes) == (cache.folder, DEFAULT_LIMIT_BYTES)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("", 2 << 30),
        ("0", 0),
        ("1000", 1000),
        ("500M", 500 << 20),
        ("1.5 GiB", 3 << 29),
        ("2gb", 2 << 30),
        ("3T", 3 << 40),
    ],
)
def test_the_limit_has_units(tmp_path, monkeypatch, text, limit):
    """A limit is bytes or a number with a unit, powers of 1024."""
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    assert Cache(tmp_path).limit_bytes == limit


@pytest.mark.parametrize("text", ["much", "-1", "1X", "1e9", "nan", "5 M B"])
def test_a_limit_that_is_none_is_refused(tmp_path, monkeypatch, text):
    """The error names the variable, the value and an example."""
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    with pytest.raises(UsageError, match=rf"{LIMIT_VARIABLE}='{text}'.*{LIMIT_VARIABLE}=500M"):
        Cache(tmp_path)


def test_processes_that_write_one_key_at_once_lose_nothing(tmp_path):
    """Several writers and pruners leave one whole entry that each of them can read."""
    program = """
import sys
from pathlib import Path
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.cache_key import key
cache = Cache(Path(sys.argv[1]))
for n in range(50):
    content = bytes([n % 3]) * 10_000
    assert cache.put("models", key(n=1), ".tflite", content).read_bytes() == content
    assert cache.get("models", key(n=1), ".tflite") is not None
assert cache.warnings == []
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * 3
    assert len(files(tmp_path)) == 3


def test_the_temporary_files_go_with_the_process(tmp_path):
    """What a disabled cache gave is removed at the end of the process."""
    program = """
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.cache_key import key
print(Cache(enabled=False).put("models", key(n=1), ".tflite", b"x"))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert str(tmp_path) in done.stdout
    assert list(tmp_path.iterdir()) == []
