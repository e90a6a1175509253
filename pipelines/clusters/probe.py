"""What a worker is and can reach, as plain data. The standard library alone: it is sent as text to workers on which
nothing of ours may be installed. A place that cannot be read or written is told, not raised."""

import hashlib
import importlib.util
import os
import platform
import shutil
import socket
import tempfile
import time
from importlib import metadata

PACKAGES = ("gristmill", "apache-beam", "numpy", "pyarrow", "duckdb")
ROOMS = ("corpus", "filters", "dedup", "training", "proxy_models", "mixing", "pipelines")


def facts(inputs, read, write, sets):
    """{host, pid, python, versions, code, plugins, scratch, time, sets, inputs, read, write} of this process.

    inputs  URLs that have to be readable here; read: one in the workspace; write: the beginning of one to be written
    sets    the vector instructions here, as `corpus/processors.py` tells them
    """
    folder = tempfile.gettempdir()
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in PACKAGES},
        "code": code(),
        "plugins": plugins(),
        "scratch": [folder, shutil.disk_usage(folder).free],
        "time": time.time(),
        "sets": sets,
        "inputs": {url: why for url in inputs if (why := unreadable(url)) is not None},
        "read": unreadable(read) if read else None,
        "write": unwritable(write) if write else None,
    }


def version_of(package):
    """Its version; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def code():
    """A digest of gristmill's own Python files; None where it cannot be imported."""
    digest = hashlib.blake2b(digest_size=8)
    for room in ROOMS:
        try:
            spec = importlib.util.find_spec(f"gristmill.{room}")
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        for top in list(spec.submodule_search_locations or ())[:1]:
            for folder, _, names in sorted(os.walk(top)):
                for name in sorted(names):
                    if name.endswith(".py"):
                        path = os.path.join(folder, name)
                        digest.update(os.path.relpath(path, top).encode())
                        with open(path, "rb") as file:
                            digest.update(file.read())
    return digest.hexdigest()


def plugins():
    """Parts that installed packages add: name -> version of its package, or why it does not load."""
    found = {}
    for group in sorted(metadata.entry_points().groups):
        for point in metadata.entry_points(group=group) if group.startswith("gristmill.") else ():
            try:
                point.load()
                found[f"{point.group}:{point.name}"] = point.dist.version if point.dist else ""
            except Exception as error:
                found[f"{point.group}:{point.name}"] = f"{type(error).__name__}: {error}"
    return found


def unreadable(url):
    """Why the file cannot be read from here; None where it can."""
    try:
        with opened(url, "rb") as file:
            file.read(1)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None


def unwritable(begin):
    """Why no file can be put there from here; None where one was."""
    try:
        with opened(f"{begin}{socket.gethostname()}-{os.getpid()}", "wb") as file:
            file.write(b"written\n")
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return None


def opened(url, mode):
    """A file by its path or URL."""
    if "://" not in url:
        return open(url, mode)
    return importlib.import_module("fsspec").open(url, mode)
