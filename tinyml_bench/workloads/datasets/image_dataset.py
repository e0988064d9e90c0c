"""Image datasets on disk, in a folder or a zip archive, as people download them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np

from tinyml_bench.errors import DataCorruptError, DataMissingError, TinymlError
from tinyml_bench.system.cache_key import key
from tinyml_bench.system.files import cache_folder
from tinyml_bench.workloads.datasets.image_archives import FolderTree, Tree, ZipTree
from tinyml_bench.workloads.datasets.image_cache import Made, Slot
from tinyml_bench.workloads.datasets.image_decoding import METHOD, Picture, decode_all
from tinyml_bench.workloads.datasets.source import DATA_VARIABLE, FileSource
from tinyml_bench.workloads.datasets.split import Split
from tinyml_bench.workloads.datasets.split_lists import Entry, Lists


class Layout(Protocol):
    """The way a dataset's pictures are laid out in folders or archives."""

    def is_in(self, tree: Tree) -> bool:
        """Tell whether the tree has anything of the dataset; nothing is verified."""
        ...

    def pictures(self, trees: Sequence[Tree], lists: Lists) -> Mapping[str, Picture]:
        """Return the pictures by id, after checking that they are what `lists` say.

        Raises
        ------
        DataCorruptError, DataMissingError
            With the first file that is not as it should be.
        """
        ...


@dataclass(frozen=True, slots=True)
class Publication:
    """Licence, web pages and folder layout to show to people who look for a dataset.

    Parameters
    ----------
    licence : str
        With what it forbids.
    pages : tuple of str
        Addresses from which people download it.
    tree : tuple of str
        What the folder must have, one line for each way to have it.
    """

    licence: str
    pages: tuple[str, ...]
    tree: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageDataset:
    """A dataset's pictures on disk: where to find them and how to decode them.

    First ``TINYML_BENCH_DATA`` (a sub-folder named as in `folders`, the folder itself, or a zip
    archive), then the user's cache. Archives are read where they lie. Nothing is downloaded but by
    `fetch`: gigabytes under a licence are not for a program to take unasked.

    Parameters
    ----------
    name : str
        The dataset's name.
    labels : tuple of str
        Classes, in the order of their indices, as the lists spell them.
    channels : {1, 3}
        Grey, or red, green and blue.
    layout : Layout
    publication : Publication
    folders : tuple of str
        Names that its folder may have inside ``TINYML_BENCH_DATA``.
    archives : tuple of str
        Names of archives that must be of this dataset, so that another one is an error.
    downloads : tuple of FileSource
        Its files, one each, so that an interrupted download goes on with the next one.
    """

    name: str
    labels: tuple[str, ...]
    channels: int
    layout: Layout
    publication: Publication
    folders: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    downloads: tuple[FileSource, ...] = ()

    @property
    def cached_folder(self) -> Path:
        """The folder in the user's cache that `fetch` fills; it need not exist."""
        return cache_folder() / "datasets" / self.name

    def locate(self) -> Path | None:
        """Return the folder or archive with the pictures, ``None`` where there is none.

        Nothing is verified before `load_split`.
        """
        try:
            trees, _ = self._search()
        except TinymlError:
            return None
        return trees[0].path if trees else None

    def obtain(self, *, progress: bool = False) -> Path:  # noqa: ARG002 - a source's signature
        """Return the folder or archive with the pictures.

        Raises
        ------
        DataMissingError
            They are nowhere; the message lists each place, and what to do.
        DataCorruptError
            An archive under the dataset's own name holds something else.
        """
        trees, _ = self._trees()
        return trees[0].path

    def fetch(self, *, progress: bool = False) -> Path:
        """Download the files missing from the cache, and return their folder.

        Parameters
        ----------
        progress : bool
            Show licence and progress on standard error.

        Raises
        ------
        DataMissingError
            A file cannot be had; the message says why, and how to get it by hand.
        CacheError
            The cache cannot be written.
        """
        if progress:
            from rich.console import Console

            Console(stderr=True, soft_wrap=True).print(
                f"{self.name}: {_gigabytes(self.downloads)}, licence {self.publication.licence}"
            )
        try:
            for file in self.downloads:
                file.fetch(progress=progress)
        except DataMissingError as error:
            raise DataMissingError("\n".join([str(error), *self._by_hand()])) from error
        return self.cached_folder

    def load_split(self, split: str, size: int, lists: Lists) -> Split:
        """Return one split; decoded on first use, memory-mapped afterwards.

        Parameters
        ----------
        split : str
            One of `lists`.
        size : int
            Side of the square images in pixels.
        lists : mapping of str to tuple of Entry
            Images of every split; all of them are looked for, only those of `split` are read.

        Raises
        ------
        DataMissingError, DataCorruptError
            A picture is not there, not where it belongs, or damaged.
        CacheError
            The cache cannot be written.
        """
        by_id = self._pictures(lists)
        entries = lists[split]
        pictures = [by_id[entry.id] for entry in entries]
        slot = Slot(
            dataset=self.name,
            name=f"{split}-{size}",
            key=_key(entries, pictures, size, self.channels),
            shape=(len(entries), size, size, self.channels),
            labels=np.array([self.labels.index(entry.label) for entry in entries], np.int64),
        )

        def make() -> Made:
            title = f"{self.name} {split}, {size} pixels"
            return decode_all(pictures, size, self.channels, title=title)

        images, sha256 = slot.obtain(make)
        return Split(split, images, slot.labels, tuple(entry.id for entry in entries), sha256)

    def _pictures(self, lists: Lists) -> Mapping[str, Picture]:
        trees, complaints = self._trees()
        try:
            return self.layout.pictures(trees, lists)
        except DataMissingError as error:
            # Half a download may lie where the missing ones should be.
            raise type(error)("\nNot used: ".join([str(error), *complaints])) from error

    def _trees(self) -> tuple[Sequence[Tree], Sequence[str]]:
        trees, complaints = self._search()
        if not trees:
            self._raise_missing(complaints)
        return trees, complaints

    def _search(self) -> tuple[Sequence[Tree], Sequence[str]]:
        """Return the trees with anything of the dataset, and what is wrong with the others.

        Trees of one folder belong together: metadata may lie beside archives of pictures. With
        trees come complaints about the same folder, without any the ones about all places.
        """
        tried = [] if os.environ.get(DATA_VARIABLE) else [f"{DATA_VARIABLE}: not set"]
        for label, roots in self._places():
            complaints = [] if any(root.exists() for root in roots) else ["no such folder"]
            for root in roots:
                trees, rejected = self._look(root)
                if trees:
                    return trees, rejected
                complaints += rejected
            tried.append(f"{label}: {'; '.join(complaints) or f'nothing of {self.name}'}")
        return (), tried

    def _places(self) -> Iterator[tuple[str, Sequence[Path]]]:
        root_name = os.environ.get(DATA_VARIABLE)
        if root_name:
            root = Path(root_name).expanduser().absolute()
            yield f"{DATA_VARIABLE}={root_name}", (*(root / name for name in self.folders), root)
        yield f"cache {self.cached_folder}", (self.cached_folder,)

    def _look(self, root: Path) -> tuple[list[Tree], list[str]]:
        trees: list[Tree] = []
        complaints = []
        if root.is_file():
            paths = [root]
        else:
            folder = FolderTree(root)
            trees += [folder] if self.layout.is_in(folder) else []
            paths = [root / name for name in sorted(folder.files()) if _is_archive(name)]
        for path in paths:
            try:
                archive = ZipTree(path)
            except (DataCorruptError, DataMissingError) as error:
                complaints.append(str(error))
                continue
            if self.layout.is_in(archive):
                trees.append(archive)
            else:
                complaints.append(f"{path} holds {archive.summary()}, nothing of {self.name}")
        if not trees and any(path.name in self.archives for path in paths):
            raise DataCorruptError(
                f"{'; '.join(complaints)}. Delete it; `tinyml-bench data fetch {self.name}` puts a "
                f"right one into the cache"
            )
        return trees, complaints

    def _raise_missing(self, tried: Sequence[str]) -> NoReturn:
        lines = [f"the pictures of {self.name} are in none of the places.", "Tried:"]
        lines += [f"  - {line}" for line in tried]
        lines.append("Do one of:")
        if self.downloads:
            size = _gigabytes(self.downloads)
            lines.append(f"  - tinyml-bench data fetch {self.name}  ({size}, no account needed)")
        raise DataMissingError("\n".join([*lines, *self._by_hand()]))

    def _by_hand(self) -> list[str]:
        return [
            f"  - download it from {' or '.join(self.publication.pages)}",
            f"    and export {DATA_VARIABLE}=FOLDER, where the folder has the zip as it came, or:",
            *(f"      FOLDER/{line}" for line in self.publication.tree),
            f"Licence: {self.publication.licence}",
        ]


def _key(entries: Sequence[Entry], pictures: Sequence[Picture], size: int, channels: int) -> str:
    from importlib.metadata import version

    stamps = (f"{e.label} {e.id} {p.stamp}\n" for e, p in zip(entries, pictures, strict=True))
    return key(
        method=METHOD,
        pillow=version("pillow"),
        size=size,
        channels=channels,
        pictures="".join(stamps),
    )


def _is_archive(name: str) -> bool:
    return name.lower().endswith(".zip")


def _gigabytes(files: Sequence[FileSource]) -> str:
    return f"{sum(file.size_bytes for file in files) / 1e9:.1f} GB"
