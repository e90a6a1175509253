"""Atomic puts and conditional puts: one file is replaced whole, and only where it still is what the writer read.

`read` gives a file's bytes and a `Version`; `put_if` replaces the file if it has that version yet (None: if there is
none), and raises `Conflict` otherwise. Of several writers that read the same version exactly one wins. What is there
already with just the wanted bytes counts as won: a put that was repeated after a lost answer, or by a process that was
killed after it, is not a conflict. Writers that must tell themselves apart put a nonce into the bytes (`lease.py`).

On a local disk the version is a hash of the bytes. Compare and replace happen under an flock of the folder, which the
kernel frees when its holder dies, however it dies; the new bytes are written to `.NAME.put` beside the file, synced and
renamed over it. A SIGKILL before the rename leaves the old file and a `.NAME.put` that the next put of that name
overwrites (nobody else writes it: the lock is held); after the rename the new file is there. There is no lock file to
be left behind. Where the file system cannot flock a folder (NFS), a file `.puts` in it is locked instead.

On S3 the version is the ETag (If-Match, If-None-Match), on Google Cloud Storage the generation (ifGenerationMatch).
Some servers that speak these languages ignore the conditions; the first conditional put into a bucket tries whether
this one does, and a RequestError refuses it then. Other file systems are refused.
"""

import errno
import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NewType, cast

from fsspec.implementations.local import LocalFileSystem

from .errors import RequestError, WorkspaceError
from .shards import filesystem, move_into_place

Version = NewType("Version", str)
PATIENCE = 60.0  # seconds to wait for another put into the same folder; a put takes milliseconds
_CANNOT_LOCK = (errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOLCK, errno.EOPNOTSUPP)
_PROVEN: set[str] = set()  # buckets of this process whose store is known to keep conditions


class Conflict(RuntimeError):
    """The file is no longer what the writer read: another writer was first. Nothing was changed."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url} was changed by another writer")
        self.url = url

    def __reduce__(self) -> Any:
        return Conflict, (self.url,)


def state_of(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells one state of a file from another, of what its file system says of it."""
    return tuple(entry.get(key) for key in ("size", "mtime", "ino", "ETag", "etag", "generation"))


def states(url: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """(name, `state_of`) of everything that lies in a folder, which need not be there, from one listing."""
    fs, path = filesystem(url)
    try:
        if not isinstance(fs, LocalFileSystem):
            yield from ((os.path.basename(entry["name"]), state_of(entry)) for entry in fs.ls(path, detail=True))
            return
        with os.scandir(path) as entries:  # a tenth of the time, and asked for at every turn
            for entry in entries:
                with suppress(FileNotFoundError):  # what a put has renamed or taken back since
                    told = entry.stat(follow_symlinks=False)
                    yield entry.name, state_of({"size": told.st_size, "mtime": told.st_mtime, "ino": told.st_ino})
    except (FileNotFoundError, NotADirectoryError):
        return


def read(url: str) -> tuple[bytes, Version] | None:
    """The bytes of a file and the version that they are; None where there is no such file."""
    fs, path = filesystem(url)
    try:
        if isinstance(fs, LocalFileSystem):
            with open(path, "rb") as file:
                data = file.read()
            return data, version_of(data)
        return _store(fs, url).read(fs, path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def signature(url: str) -> str | None:
    """What changes when the file does, by one stat or HEAD and without reading it; None where there is no such file.

    Locally inode, size and times: two versions within one tick of the file system's clock can share them.
    """
    fs, path = filesystem(url)
    try:
        if isinstance(fs, LocalFileSystem):
            stat = os.stat(path)
            return f"{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_size}-{stat.st_ino}"
        return _store(fs, url).head(fs, path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def put(url: str, data: bytes, durable: bool = True) -> Version:
    """Replace the file by these bytes, whole or not at all. `durable=False` does not wait for the disk."""
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with _alone(os.path.dirname(path)):
            _replace(path, data, durable)
        return version_of(data)
    return _store(fs, url).write(fs, path, data, None)


def put_if(url: str, data: bytes, version: Version | None) -> Version:
    """Replace the file by these bytes if it has that version, or if there is none and `version` is None.

    Returns the new version. Conflict where it has another, unless it holds just these bytes.
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        return _put_local_if(url, path, data, version)
    store = _store(fs, url)
    if not isinstance(store, _Other):
        _prove(store, fs, url, path)
    try:
        return store.write(fs, path, data, [version])
    except (FileExistsError, FileNotFoundError, _Refused) as error:
        found = store.read_or_none(fs, path)
        if found is not None and found[0] == data:
            return found[1]
        if isinstance(error, FileNotFoundError) and version is None:
            raise  # not the file is missing but the bucket
        raise Conflict(url) from error


def version_of(data: bytes) -> Version:
    """The version of a local file of these bytes: blake2b-128, hex."""
    return Version(hashlib.blake2b(data, digest_size=16).hexdigest())


# ---- a local disk


def _put_local_if(url: str, path: str, data: bytes, version: Version | None) -> Version:
    with _alone(os.path.dirname(path)):
        found = None
        if os.path.exists(path):
            with open(path, "rb") as file:
                found = file.read()
        if found == data:
            return version_of(data)
        if (None if found is None else version_of(found)) != version:
            raise Conflict(url)
        _replace(path, data, durable=True)
    return version_of(data)


def _replace(path: str, data: bytes, durable: bool) -> None:
    """Write beside, sync, rename, sync the folder. Only under the folder's lock: the name beside is always the same."""
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".{name}.put")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)
    move_into_place(beside, path, durable)


@contextmanager
def _alone(folder: str) -> Generator[None, None, None]:
    """Be the only one, among threads and processes, that puts files into a folder, which is made where it is absent."""
    os.makedirs(folder, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            _lock(handle, folder)
        except OSError as error:
            if error.errno not in _CANNOT_LOCK:
                raise
            os.close(handle)
            handle = os.open(os.path.join(folder, ".puts"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            _lock(handle, folder)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough where a fork has inherited the handle
    finally:
        os.close(handle)


def _lock(handle: int, folder: str) -> None:
    """Lock a file or folder; a WorkspaceError where another holds it for `PATIENCE` seconds (a stopped process)."""
    end, pause = time.monotonic() + PATIENCE, 0.001
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise WorkspaceError(
                    f"another process has held {folder} locked for {PATIENCE:.0f} seconds; it may be stopped: end it"
                ) from None
            time.sleep(pause)
            pause = min(2 * pause, 0.05)


# ---- object stores


class _Refused(RuntimeError):
    """The store answered that the condition does not hold."""


class _S3:
    """Conditional requests through s3fs."""

    NEVER = Version('"00000000000000000000000000000000"')  # a version that no file has

    def read(self, fs: Any, path: str) -> tuple[bytes, Version]:
        from fsspec.asyn import sync

        bucket, key, _ = fs.split_path(path)

        async def got() -> tuple[bytes, Version]:
            answer = await fs._call_s3("get_object", Bucket=bucket, Key=key)
            async with answer["Body"] as body:
                return await body.read(), Version(answer["ETag"])

        return cast(tuple[bytes, Version], sync(fs.loop, got))

    def read_or_none(self, fs: Any, path: str) -> tuple[bytes, Version] | None:
        try:
            return self.read(fs, path)
        except FileNotFoundError:
            return None

    def head(self, fs: Any, path: str) -> str:
        bucket, key, _ = fs.split_path(path)
        return fs.call_s3("head_object", Bucket=bucket, Key=key)["ETag"]

    def write(self, fs: Any, path: str, data: bytes, condition: list[Version | None] | None) -> Version:
        """`condition`: None for no condition, else a list of the version that must be there (or None: none)."""
        bucket, key, _ = fs.split_path(path)
        extra: dict[str, str] = {}
        for version in condition or ():
            extra = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        for again in (True, True, True, False):
            try:
                return Version(fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, **extra)["ETag"])
            except Exception as error:
                code = _code(error)
                if code == "ConditionalRequestConflict" and again:
                    continue  # another put is under way: S3 asks to try again
                if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                    raise _Refused(str(error)) from error
                raise
        raise AssertionError("unreachable")


class _GoogleCloudStorage:
    """Conditional requests through gcsfs. Uploads are multipart: the simple ones lose the condition on stand-ins."""

    NEVER = Version("1")

    def read(self, fs: Any, path: str) -> tuple[bytes, Version]:
        bucket, key, _ = fs.split_path(path)
        for again in (True, True, True, False):
            generation = self.head(fs, path)
            try:
                where = f"{fs._location}/download/storage/v1/b/{{}}/o/{{}}"
                _, data = fs.call("GET", where, bucket, key, alt="media", generation=generation)
                return data, Version(generation)
            except FileNotFoundError:
                if not again:
                    raise  # replaced between the two requests, four times
        raise AssertionError("unreachable")

    def read_or_none(self, fs: Any, path: str) -> tuple[bytes, Version] | None:
        try:
            return self.read(fs, path)
        except FileNotFoundError:
            return None

    def head(self, fs: Any, path: str) -> str:
        bucket, key, _ = fs.split_path(path)
        return str(fs.call("GET", "b/{}/o/{}", bucket, key, json_out=True)["generation"])

    def write(self, fs: Any, path: str, data: bytes, condition: list[Version | None] | None) -> Version:
        bucket, key, _ = fs.split_path(path)
        extra = {} if condition is None else {"ifGenerationMatch": condition[0] or "0"}
        cut = f"={version_of(data)}="  # what separates the parts occurs in none of them
        head = f"--{cut}\nContent-Type: application/json; charset=UTF-8\n\n{json.dumps({'name': key})}\n"
        head += f"--{cut}\nContent-Type: application/octet-stream\n\n"
        told = fs.call(
            "POST",
            f"{fs._location}/upload/storage/v1/b/{{}}/o",
            bucket,
            uploadType="multipart",
            data=head.encode() + data + f"\n--{cut}--".encode(),
            headers={"Content-Type": f'multipart/related; boundary="{cut}"'},
            json_out=True,
            **extra,
        )
        return Version(str(told["generation"]))


def _prove(store: _S3 | _GoogleCloudStorage, fs: Any, url: str, path: str) -> None:
    """Try once a process and bucket that both conditions are kept; a RequestError otherwise."""
    bucket = "/".join((type(store).__name__, path.split("/")[0]))
    if bucket in _PROVEN:
        return
    trial = f"{os.path.dirname(path)}/.conditional-put-{uuid.uuid4().hex}"
    try:
        store.write(fs, trial, b"1", [None])
        for condition in (None, store.NEVER):
            try:
                store.write(fs, trial, b"2", [condition])
            except (_Refused, FileExistsError):
                continue
            raise RequestError(
                f"the store of {url} ignores the condition of a put, so that two writers could overwrite each other; "
                "a workspace needs a store that keeps If-Match and If-None-Match (S3) or ifGenerationMatch (GCS)"
            )
    finally:
        fs.rm_file(trial)
    _PROVEN.add(bucket)


class _Other:
    """Any other file system of fsspec: comparison and put are two steps, so two writers at once may both win."""

    def read(self, fs: Any, path: str) -> tuple[bytes, Version]:
        data = fs.cat_file(path)
        return data, version_of(data)

    def read_or_none(self, fs: Any, path: str) -> tuple[bytes, Version] | None:
        try:
            return self.read(fs, path)
        except FileNotFoundError:
            return None

    def head(self, fs: Any, path: str) -> str:
        return str(sorted((key, str(value)) for key, value in fs.info(path).items()))

    def write(self, fs: Any, path: str, data: bytes, condition: list[Version | None] | None) -> Version:
        found = self.read_or_none(fs, path)
        if condition is not None and [None if found is None else found[1]] != condition:
            raise _Refused(path)
        fs.makedirs(os.path.dirname(path), exist_ok=True)
        fs.pipe_file(path, data)
        return version_of(data)


def _store(fs: Any, url: str) -> "_S3 | _GoogleCloudStorage | _Other":
    known = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    if "s3" in known:
        return _S3()
    if "gs" in known:
        return _GoogleCloudStorage()
    return _Other()


def _code(error: BaseException | None) -> str:
    """The error code of S3 behind an exception of s3fs, "" where there is none."""
    while error is not None:
        told = getattr(error, "response", None)
        if isinstance(told, dict):
            return str(told.get("Error", {}).get("Code", ""))
        error = error.__cause__
    return ""
