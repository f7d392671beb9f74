"""Datastore: the stores that a step may use, by name. The step's agent, which has the credentials, moves the files."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any, Dict, Iterable, Iterator, Optional, Tuple

from longshore_run import context
from longshore_shims.absent import Refusing
from longshore_shims.errors import UserErrorException
from longshore_shims.named import Known, ask


class Datastore(Refusing):
    """A store by its name. "workspaceblobstore" is the default one, unless a Datastore has this name."""

    def __init__(self, workspace: Any = None, name: Optional[str] = None) -> None:
        found = ask("find-datastore", name=name)
        self.name: str = found["name"]
        self.is_default: bool = found["default"]
        self.workspace = workspace

    def __repr__(self) -> str:
        return "<Datastore {}>".format(self.name)

    @classmethod
    def get(cls, workspace: Any = None, datastore_name: Optional[str] = None) -> Datastore:
        """Return a store by its name. Raises UserErrorException if the step may not use it."""
        return cls(workspace, datastore_name)

    @classmethod
    def get_default(cls, workspace: Any = None) -> Datastore:
        """Return the default store. Raises UserErrorException if the step may not use it."""
        return cls(workspace)

    def path(self, path: Optional[str] = None, data_reference_name: Optional[str] = None) -> DataReference:
        """Return a path of this store."""
        return DataReference(self, data_reference_name, path)

    def upload(
        self, src_dir: str, target_path: Optional[str] = None, overwrite: bool = False, show_progress: bool = True
    ) -> DataReference:
        """Copy all files of a folder into the store; return their path.

        Existing files stay unless `overwrite` is true.

        Raises:
            UserErrorException: The folder does not exist, the path leads out of the store or into the folder of a run,
                or the store fails.
        """
        if not os.path.isdir(src_dir):
            raise UserErrorException('"{}" is not a folder, so it cannot be uploaded.'.format(src_dir))
        walk = os.walk(src_dir, followlinks=True)
        files = [os.path.join(where, name) for where, _, names in walk for name in sorted(names)]
        return self._upload([(each, os.path.relpath(each, src_dir)) for each in files], target_path, overwrite)

    def upload_files(
        self,
        files: Iterable[str],
        relative_root: Optional[str] = None,
        target_path: Optional[str] = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> DataReference:
        """Copy files into the store; return their path.

        With `relative_root`, they keep their paths below it; without, only their names. Raises the exceptions of
        upload().
        """
        named = []
        for each in map(os.fspath, files):
            if not os.path.isfile(each):
                raise UserErrorException('"{}" is not a file, so it cannot be uploaded.'.format(each))
            named.append((each, os.path.relpath(each, relative_root) if relative_root else os.path.basename(each)))
        return self._upload(named, target_path, overwrite)

    def download(
        self, target_path: str, prefix: Optional[str] = None, overwrite: bool = False, show_progress: bool = True
    ) -> int:
        """Copy a file, or all files below a folder, from the store to a local folder; return the number of copies.

        The copies have their whole paths in the store. Existing files stay unless `overwrite` is true.

        Args:
            target_path: The local folder.
            prefix: The file or folder; all of the store if not given.
            overwrite: Replace existing files.
            show_progress: Ignored.

        Raises:
            UserErrorException: The path does not exist, leads out of the store, or does not fit on the worker's disk;
                or the store fails.
        """
        path = (prefix or "").strip("/")
        folder = ask("download", datastore=self.name, path=path)["path"]
        try:
            count = 0
            for source, name in _copied_files(folder, path):
                target = os.path.join(target_path, *name.split("/"))
                if os.path.lexists(target) and not overwrite:
                    print("{} exists already; set overwrite=True to replace it.".format(target))  # noqa: T201
                    continue
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copyfile(source, target)
                count += 1
            return count
        finally:
            ask("discard", path=folder)

    def _upload(self, files: Iterable[Tuple[str, str]], target_path: Optional[str], overwrite: bool) -> DataReference:
        """Copy (file, relative path) pairs into the store."""
        shared = os.path.dirname(os.environ[context.VARIABLE])
        folder = tempfile.mkdtemp(prefix="longshore-upload-", dir=shared)
        try:
            os.chmod(folder, 0o770)  # noqa: S103  (the agent may be another user of the group)
            for path, name in files:
                target = os.path.normpath(os.path.join(folder, name))
                if not target.startswith(folder + os.sep):
                    raise UserErrorException('"{}" is not below the folder that is uploaded.'.format(path))
                _make_folders(folder, os.path.dirname(target))
                shutil.copyfile(path, target)
                os.chmod(target, 0o660)
            done = ask(
                "upload",
                datastore=self.name,
                folder=os.path.basename(folder),
                path=target_path or "",
                overwrite=overwrite,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        for each in done["existing"]:
            print("{} exists already; set overwrite=True to replace it.".format(each))  # noqa: T201
        return self.path(target_path)


class DataReference(Refusing):
    """A path of a store: `datastore` and `path_on_datastore`."""

    def __init__(
        self, datastore: Datastore, data_reference_name: Optional[str] = None, path_on_datastore: Optional[str] = None
    ) -> None:
        self.datastore = datastore
        self.data_reference_name = data_reference_name
        self.path_on_datastore = path_on_datastore or ""

    def __repr__(self) -> str:
        return "<path {} of Datastore {}>".format(self.path_on_datastore, self.datastore.name)


def datastores(workspace: Any) -> Dict[str, Datastore]:
    """Return the stores that the step may use, by name."""
    known = {each["name"]: Datastore(workspace, each["name"]) for each in ask("find-datastores")}
    return Known(known, lambda name: Datastore(workspace, name))


def _copied_files(folder: str, path: str) -> Iterator[Tuple[str, str]]:
    """Yield each downloaded file with its path in the store."""
    file = os.path.join(folder, "file")
    if os.path.isdir(file):
        [name] = os.listdir(file)
        yield os.path.join(file, name), path
    below = os.path.join(folder, "folder")
    for where, _, names in os.walk(below):
        for name in sorted(names):
            source = os.path.join(where, name)
            relative = os.path.relpath(source, below).replace(os.sep, "/")
            yield source, "{}/{}".format(path, relative) if path else relative


def _make_folders(root: str, folder: str) -> None:
    if folder != root and not os.path.isdir(folder):
        _make_folders(root, os.path.dirname(folder))
        os.mkdir(folder)
        os.chmod(folder, 0o770)  # noqa: S103  (see above)
