"""Ways to download a dataset's files into a folder; the source verifies them."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tinyml_bench.system.progress import download_bars

if TYPE_CHECKING:
    from rich.progress import Progress

# Failures of the own disk; every other one counts as the network's.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}


# Some archives turn away the names under which Python's own libraries call.
_HEADERS = {"User-Agent": "tinyml-bench"}


class FetchError(Exception):
    """A way to get the files failed; the source tries the next one."""


class Fetcher(Protocol):
    """A way to get a dataset's files."""

    @property
    def label(self) -> str:
        """Name of this way, for messages."""
        ...

    @property
    def advice(self) -> str:
        """A command that a person can run instead, or an empty string."""
        ...

    def fetch(self, folder: Path, *, progress: bool) -> None:
        """Put the files into `folder`, which is empty.

        Raises
        ------
        FetchError
            It did not work.
        OSError
            `folder` cannot be written.
        """
        ...


@dataclass(frozen=True, slots=True)
class Download:
    """Files at a web address.

    Parameters
    ----------
    base_url : str
        Address of the folder that holds them; of the only file itself with `whole_address`.
    hashes : tuple of (str, str)
        File name and the checksum that its publisher states, such as ``"md5:0f..."``. The first
        one should be small: where the place cannot be reached, it fails soonest.
    connect_seconds, read_seconds : float
        How long to wait for a connection, and for the next piece.
    whole_address : bool
        The place gives its files numbers for names: `base_url` does not go on with the name.
    """

    base_url: str
    hashes: tuple[tuple[str, str], ...]
    connect_seconds: float = 4.0
    read_seconds: float = 20.0
    whole_address: bool = False

    @property
    def label(self) -> str:
        """The address."""
        return f"download from {self.base_url}"

    @property
    def advice(self) -> str:
        """Empty: the other advice covers a download by hand."""
        return ""

    def fetch(self, folder: Path, *, progress: bool) -> None:
        """Download each file once, without retries.

        Raises
        ------
        FetchError
            The place cannot be reached, or a file is not what its publisher states.
        """
        with download_bars(shown=progress) as bars, _quiet_pooch():
            for name, known_hash in self.hashes:
                self._fetch_one(name, known_hash, folder, bars)

    def _fetch_one(self, name: str, known_hash: str, folder: Path, bars: Progress) -> None:
        import pooch

        downloader = pooch.HTTPDownloader(
            progressbar=_Bar(bars, name),
            timeout=(self.connect_seconds, self.read_seconds),
            headers=_HEADERS,
        )
        url = self.base_url if self.whole_address else f"{self.base_url.rstrip('/')}/{name}"
        try:
            pooch.retrieve(url, known_hash, fname=name, path=folder, downloader=downloader)
        except ValueError as error:  # what pooch raises for a wrong checksum
            raise FetchError(f"{name} is not the published file: {error}") from error
        except OSError as error:
            if error.errno in _DISK_ERRORS or isinstance(error, PermissionError):
                raise
            raise FetchError(f"{name}: {_root_cause(error)}") from error


class _Bar:
    """A line of a rich display, in the shape in which pooch drives progress bars."""

    def __init__(self, bars: Progress, label: str) -> None:
        self._bars = bars
        self._task = bars.add_task(label, total=None)

    @property
    def total(self) -> float | None:
        return self._bars.tasks[self._task].total

    @total.setter
    def total(self, total: float) -> None:
        # A server that states no length makes pooch say 0.
        self._bars.update(self._task, total=total or None)

    def update(self, n: int) -> None:
        self._bars.advance(self._task, n)

    def reset(self) -> None:
        self._bars.update(self._task, completed=0)

    def close(self) -> None:
        """Do nothing: the display closes with its last line."""


@contextlib.contextmanager
def _quiet_pooch() -> Iterator[None]:
    import pooch

    logger: logging.Logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _root_cause(error: BaseException) -> str:
    # requests wraps the one telling line in up to four exceptions.
    cause: BaseException = error
    while isinstance(inner := getattr(cause, "reason", None) or _first(cause.args), BaseException):
        cause = inner
    return f"{type(cause).__name__}: {cause}"


def _first(args: tuple[object, ...]) -> object:
    return args[0] if args else None


_APT_PATIENCE = ("Acquire::Retries=1", "Acquire::http::Timeout=10", "Acquire::https::Timeout=10")

# As root, the system's hooks would act on the system's own cache after a private update.
_APT_WITHOUT_HOOKS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


@dataclass(frozen=True, slots=True)
class AptPackage:
    """Files of a Debian package, downloaded and unpacked without root and without installing.

    Where the system's package lists are missing or out of date, private ones are made; the
    system's own state is only read.

    Parameters
    ----------
    package : str
    folder : str
        The folder inside the package that holds the files, without leading ``/``.
    room_bytes : int
        Free disk space that the package, its content and private lists take at most.
    limit_seconds : float
        Time after which one command is given up.
    """

    package: str
    folder: str
    room_bytes: int
    limit_seconds: float = 300.0

    @property
    def label(self) -> str:
        """The command."""
        return f"apt-get download {self.package}"

    @property
    def advice(self) -> str:
        """The command that installs the package system-wide."""
        return f"apt-get install {self.package}  (as root)"

    def fetch(self, folder: Path, *, progress: bool) -> None:
        """Download the package, unpack it and copy the files.

        Raises
        ------
        FetchError
            This is no Debian-like system, or a command failed; with its last words.
        OSError
            The disk of `folder` is too full.
        """
        from rich.console import Console

        for tool in ("apt-get", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise FetchError(f"{tool} is not here (not a Debian-like system)")
        # On a full disk `apt-get update` does not fail, it hangs.
        if shutil.disk_usage(folder).free < self.room_bytes:
            raise _disk_full(folder)
        work, unpacked = folder / "apt", folder / "unpacked"
        console = Console(stderr=True, quiet=not progress)
        with console.status(self.label):
            archive = self._download(work)
            completed = self._run(["dpkg-deb", "-x", str(archive), str(unpacked)], work)
        if completed.returncode:
            raise FetchError(_last_words(completed))
        if not (unpacked / self.folder).is_dir():
            raise FetchError(f"{archive.name} has no folder {self.folder}")
        for path in (unpacked / self.folder).iterdir():
            if path.is_file() and not path.is_symlink():
                path.replace(folder / path.name)

    def _download(self, work: Path) -> Path:
        work.mkdir()
        options = _options(*_APT_PATIENCE)
        reasons = []
        completed = self._run(["apt-get", "-q", *options, "download", self.package], work)
        if completed.returncode:
            options += _private_state(work)
            # One broken repository fails the update, but the lists of the others are there.
            updated = self._run(["apt-get", "-q", *options, "update"], work)
            reasons.append(_last_words(updated))
            completed = self._run(["apt-get", "-q", *options, "download", self.package], work)
        archive = next(work.glob("*.deb"), None)
        if completed.returncode or archive is None:
            reasons.append(_last_words(completed))
            raise FetchError("; ".join(filter(None, reasons)) or "apt-get left no .deb file")
        return archive

    def _run(self, command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        try:
            completed = subprocess.run(
                command,
                cwd=cwd,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                timeout=self.limit_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise FetchError(f"{command[0]} took over {self.limit_seconds:g} seconds") from error
        if completed.returncode and os.strerror(errno.ENOSPC) in completed.stderr:
            raise _disk_full(cwd)
        return completed


def _private_state(work: Path) -> list[str]:
    state, cache = work / "state", work / "cache"
    (state / "lists" / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    configuration = work / "apt.conf"
    configuration.write_text(_APT_WITHOUT_HOOKS, encoding="utf-8")
    return [
        "-c",
        str(configuration),
        *_options(
            "Acquire::Languages=none",
            f"Dir::State={state}",
            f"Dir::State::lists={state / 'lists'}",
            f"Dir::Cache={cache}",
            f"Dir::Cache::archives={cache / 'archives'}",
        ),
    ]


def _disk_full(folder: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _options(*settings: str) -> list[str]:
    return [argument for setting in settings for argument in ("-o", setting)]


def _last_words(completed: subprocess.CompletedProcess[str]) -> str:
    """Return the line that explains a failure: an error, a failed download, or the last line."""
    lines = [line.strip() for line in completed.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:")]
    failed = [line for line in lines if line.startswith("W: Failed to fetch")]
    return (errors or failed or lines or [""])[-1]
