"""Fetchers bring files or say why not; here over the loopback and with stand-in tools."""

from __future__ import annotations

import errno
import functools
import hashlib
import http.server
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyml_bench.workloads.datasets.fetchers import AptPackage, Download, FetchError

CONTENT = b"pixels" * 100
CHECKSUM = "md5:" + hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Serve one file on this machine, and return the address."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "images.gz").write_bytes(CONTENT)
    handler = functools.partial(_Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder to fetch into, and let no proxy come between."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


@pytest.mark.parametrize("progress", [True, False])
def test_a_download_arrives(
    site: str, folder: Path, progress: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """The file lies in the folder; the terminal hears of it only where progress is wanted."""
    Download(site, (("images.gz", CHECKSUM),)).fetch(folder, progress=progress)
    assert (folder / "images.gz").read_bytes() == CONTENT
    assert list(folder.iterdir()) == [folder / "images.gz"]
    output = capfd.readouterr()
    assert output.out.strip() == ""
    if not progress:
        assert output.err == ""


def test_a_file_may_have_another_name_than_its_address(site: str, folder: Path) -> None:
    """Archives that number their files give the whole address."""
    address = f"{site}images.gz?format=original"
    download = Download(address, (("pictures.zip", CHECKSUM),), whole_address=True)
    download.fetch(folder, progress=False)
    assert (folder / "pictures.zip").read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused(site: str, folder: Path) -> None:
    """A file that is not the published one is named."""
    wrong = "md5:" + 32 * "0"
    with pytest.raises(FetchError, match=r"images\.gz is not the published file"):
        Download(site, (("images.gz", wrong),)).fetch(folder, progress=False)
    assert list(folder.iterdir()) == []


def test_an_absent_file_is_a_stated_failure(site: str, folder: Path) -> None:
    """What the server answers is in the reason."""
    with pytest.raises(FetchError, match=r"labels\.gz: .*404"):
        Download(site, (("labels.gz", CHECKSUM),)).fetch(folder, progress=False)


def test_a_refused_connection_is_a_stated_failure(folder: Path) -> None:
    """Where nobody listens the reason says so, without the layers of the HTTP library."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(FetchError, match="Connection refused") as caught:
            Download(base, (("images.gz", CHECKSUM),)).fetch(folder, progress=False)
    assert "Max retries" not in str(caught.value)


def test_a_silent_server_is_given_up(folder: Path) -> None:
    """A server that accepts and says nothing costs the stated time, once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        download = Download(base, (("images.gz", CHECKSUM),), read_seconds=0.05)
        with pytest.raises(FetchError, match="Read timed out"):
            download.fetch(folder, progress=False)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_an_unwritable_folder_is_no_network_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The source must be able to tell a full disk from a bad connection."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(code, "the disk says no")

    monkeypatch.setattr("pooch.retrieve", refuse)
    with pytest.raises(OSError, match="the disk says no"):
        Download("http://127.0.0.1", (("images.gz", CHECKSUM),)).fetch(folder, progress=False)


APT = r"""#!/bin/sh
echo "$PWD $*" >> "$TOY/calls"
case "$*" in
  *" update") grep -q '#clear APT::Update::Post-Invoke;' "$PWD/apt.conf" && touch "$TOY/lists" ;;
  *" download toy-data")
    if [ -e "$TOY/lists" ]; then echo archive > toy-data_1_all.deb
    else echo "E: Unable to locate package toy-data" >&2; exit 100; fi ;;
  *) echo "E: Invalid operation" >&2; exit 100 ;;
esac
"""
DPKG = r"""#!/bin/sh
[ "$1" = -x ] && [ "$(cat "$2")" = archive ] || exit 2
mkdir -p "$3/usr/share/toy" && echo pixels > "$3/usr/share/toy/images.gz"
ln -s /etc/hostname "$3/usr/share/toy/link"
"""
PACKAGE = AptPackage("toy-data", "usr/share/toy", room_bytes=1)


def stand_in(tmp_path: Path, **scripts: str) -> None:
    """Put shell scripts onto the search path under the names of the tools."""
    for name, script in scripts.items():
        tool = tmp_path / "bin" / name.replace("_", "-")
        tool.write_text(script)
        tool.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave only stand-ins of apt-get and dpkg-deb, and what they need, on the search path."""
    (tmp_path / "bin").mkdir()
    stand_in(tmp_path, apt_get=APT, dpkg_deb=DPKG)
    for name in ("sh", "touch", "grep", "cat", "mkdir", "ln", "sleep"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("TOY", str(tmp_path))
    return tmp_path


def calls(tools: Path) -> list[str]:
    """Return the working folder and arguments of each call of the stand-in apt-get."""
    return (tools / "calls").read_text().splitlines()


def test_the_systems_lists_are_used_where_they_serve(tools: Path, folder: Path) -> None:
    """With package lists in place one download is enough, and links stay behind."""
    (tools / "lists").touch()
    PACKAGE.fetch(folder, progress=False)
    assert (folder / "images.gz").read_text() == "pixels\n"
    assert not (folder / "link").exists()
    assert len(calls(tools)) == 1


def test_missing_lists_are_made_privately(tools: Path, folder: Path) -> None:
    """Without package lists an update runs whose state, cache and hooks are not the system's."""
    PACKAGE.fetch(folder, progress=True)
    assert (folder / "images.gz").read_text() == "pixels\n"
    _, update, download = calls(tools)
    for line in (update, download):
        assert f"-o Dir::State={folder}/apt/state " in line
        assert f"-o Dir::State::lists={folder}/apt/state/lists " in line
        assert f"-o Dir::Cache={folder}/apt/cache " in line
        assert f"-c {folder}/apt/apt.conf " in line
    assert all(line.startswith(f"{folder}/apt ") for line in calls(tools))


def test_a_package_nobody_has_is_a_stated_failure(tools: Path, folder: Path) -> None:
    """The reason has the last words of apt-get, of the update too."""
    words = 'case "$*" in *update) echo "E: no network";; *) echo "E: no package";; esac'
    stand_in(tools, apt_get=f"#!/bin/sh\n{words} >&2; exit 100")
    with pytest.raises(FetchError, match=r"^E: no network; E: no package$"):
        PACKAGE.fetch(folder, progress=False)


def test_a_failed_list_explains_a_missing_package(tools: Path, folder: Path) -> None:
    """An update that could not reach its mirror succeeds with a warning, which is kept."""
    warn = 'printf "W: Failed to fetch http://mirror\\nW: Some index files failed\\n" >&2'
    fail = 'echo "E: none" >&2; exit 100'
    stand_in(tools, apt_get=f'#!/bin/sh\ncase "$*" in *update) {warn};; *) {fail};; esac')
    with pytest.raises(FetchError, match=r"^W: Failed to fetch http://mirror; E: none$"):
        PACKAGE.fetch(folder, progress=False)


def test_a_download_that_leaves_nothing_is_a_failure(tools: Path, folder: Path) -> None:
    """A success without an archive is none."""
    stand_in(tools, apt_get="#!/bin/sh\n")
    with pytest.raises(FetchError, match=r"left no \.deb file"):
        PACKAGE.fetch(folder, progress=False)


def test_a_package_without_the_folder_is_a_failure(tools: Path, folder: Path) -> None:
    """A package that has moved its files is named with the folder that was expected."""
    (tools / "lists").touch()
    moved = AptPackage("toy-data", "usr/share/elsewhere", room_bytes=1)
    with pytest.raises(FetchError, match=r"toy-data_1_all\.deb has no folder usr/share/elsewhere"):
        moved.fetch(folder, progress=False)


def test_a_broken_archive_is_a_failure(tools: Path, folder: Path) -> None:
    """What dpkg-deb says last is the reason."""
    (tools / "lists").touch()
    stand_in(tools, dpkg_deb='#!/bin/sh\necho "dpkg-deb: error: not an archive" >&2; exit 2')
    with pytest.raises(FetchError, match="not an archive"):
        PACKAGE.fetch(folder, progress=False)


def test_a_tool_that_hangs_is_given_up(tools: Path, folder: Path) -> None:
    """A command that never ends costs the stated time."""
    stand_in(tools, apt_get="#!/bin/sh\nexec sleep 30")
    hanging = AptPackage("toy-data", "usr/share/toy", room_bytes=1, limit_seconds=0.1)
    with pytest.raises(FetchError, match=r"apt-get took over 0\.1 seconds"):
        hanging.fetch(folder, progress=False)


def test_a_full_disk_is_noticed_before_and_during(tools: Path, folder: Path) -> None:
    """Too little room stops before the first command, and apt-get's own word for it is heard."""
    huge = AptPackage("toy-data", "usr/share/toy", room_bytes=2**62)
    with pytest.raises(OSError, match="No space left on device"):
        huge.fetch(folder, progress=False)
    assert not (tools / "calls").exists()
    stand_in(
        tools, apt_get='#!/bin/sh\necho "E: Write - (28: No space left on device)" >&2; exit 1'
    )
    with pytest.raises(OSError, match="No space left on device") as caught:
        PACKAGE.fetch(folder, progress=False)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("tool", ["apt-get", "dpkg-deb"])
def test_another_system_is_told_so(tools: Path, folder: Path, tool: str) -> None:
    """Without one of the tools nothing is tried."""
    (tools / "bin" / tool).unlink()
    with pytest.raises(FetchError, match=f"{tool} is not here"):
        PACKAGE.fetch(folder, progress=False)
    assert not (tools / "calls").exists()


def test_labels_and_advice_are_commands() -> None:
    """What is printed for a package can be typed."""
    assert PACKAGE.label == "apt-get download toy-data"
    assert PACKAGE.advice.startswith("apt-get install toy-data")
