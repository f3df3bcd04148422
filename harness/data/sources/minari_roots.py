"""Public Minari datasets on this machine: where they lie, and what the remote said of their bytes.

Light: only `check_version` imports Minari. A root is a folder of datasets in Minari's layout.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from harness.data.minari_format import DATA_FILE
from harness.data.sources.download_lock import sha256_of
from harness.data.sources.minari_metadata import METADATA_FILE
from harness.data.store import data_root
from harness.errors import UserError

_SHA256_DIGITS = 64  # of the etag of a file in LFS; that of another file is git's id of its blob


def download_root() -> Path:
    """The root that `data fetch` downloads to."""
    return data_root() / "downloads" / "minari"


def user_root() -> Path:
    """The user's own root, as Minari finds it: MINARI_DATASETS_PATH, else `~/.minari/datasets`."""
    given = os.environ.get("MINARI_DATASETS_PATH")
    return Path(given) if given else Path.home() / ".minari" / "datasets"


@dataclass(frozen=True)
class PublicDataset:
    """A dataset such as `D4RL/door/human-v2` in a root, whether it is there or not.

    huggingface_hub leaves a record beside every file it has downloaded whole: the commit the file
    is of, and its etag, which is a hash of its bytes.
    """

    root: Path
    id: str

    @property
    def folder(self) -> Path:
        return self.root / self.id

    @property
    def data_file(self) -> Path:
        return self.folder / "data" / DATA_FILE

    @property
    def records(self) -> Path:
        """The folder of the records, and of files that have arrived in part."""
        repository, _, path = self.id.partition("/")
        return self.root / repository / ".cache" / "huggingface" / "download" / path

    @property
    def is_here(self) -> bool:
        return all((self.folder / "data" / name).is_file() for name in (DATA_FILE, METADATA_FILE))

    @property
    def is_recorded(self) -> bool:
        """Whether huggingface_hub downloaded both files whole."""
        return all(self._record(name) for name in (DATA_FILE, METADATA_FILE))

    @property
    def revision(self) -> str:
        """The commit of the remote, as far as is known."""
        record = self._record(DATA_FILE)
        return record[0] if record else "unknown (there is no record of its download)"

    def damage(self) -> str | None:
        """A sentence on the first file that is not what the remote had, or None."""
        for name in (DATA_FILE, METADATA_FILE):
            path, record = self.folder / "data" / name, self._record(name)
            if record is None:
                continue
            found, expected = _etag(path, len(record[1])), record[1]
            if found != expected:
                return (
                    f"{path} is not the remote's file (hash expected {expected[:16]}…, found "
                    f"{found[:16]}…)"
                )
        return None

    def _record(self, name: str) -> tuple[str, str] | None:
        """Commit and etag of a file; None without a record, and for one that is damaged."""
        path = self.records / "data" / f"{name}.metadata"
        if not path.is_file():
            return None
        words = path.read_text(errors="replace").split()
        return (words[0], words[1]) if len(words) > 1 else None


def find(dataset_id: str) -> PublicDataset | None:
    """The dataset in the user's own root, else among the downloads, else None."""
    places = (PublicDataset(root, dataset_id) for root in (user_root(), download_root()))
    return next((place for place in places if place.is_here), None)


def check_version(dataset_id: str, found: str | None, written_by: str | None) -> None:
    """Raises UserError for a dataset that is another one, or that this Minari does not read."""
    import minari

    if found != dataset_id:
        raise UserError(f"What should be {dataset_id} says of itself that it is {found}.")
    if written_by not in minari.supported_dataset_versions:
        raise UserError(
            f"{dataset_id} was written by Minari {written_by}, which Minari {minari.__version__}, "
            f"installed here, does not read (it reads "
            f"{', '.join(sorted(minari.supported_dataset_versions))}). Install a Minari that does."
        )


def _etag(path: Path, digits: int) -> str:
    """A file's etag on the remote, of a kind told by its length."""
    if digits == _SHA256_DIGITS:
        return sha256_of(path)
    with path.open("rb") as file:
        content = file.read()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
