"""Whether the engine that Beam's options name can be reached, asked before a graph is handed to it.

A name that is none, a scheduler or a job server at which nobody answers, a jar, a Java or an option that is missing
are each a RequestError of one sentence, within seconds: Beam itself waits for minutes, prints its own traceback, or
takes a misspelt option for nothing and runs elsewhere.
"""

import argparse
import asyncio
import difflib
import glob
import importlib.util
import json
import os
import shutil
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ...corpus.store.errors import MissingExtra, RequestError

SECONDS = 5.0  # in which a machine has to take a connection
ANSWER = 10.0  # and in which what listens there has to say what it is
DASK = "DaskRunner"
PORTABLE = ("PortableRunner", "FlinkRunner", "SparkRunner", "PrismRunner")
_reached: set[tuple[str, ...]] = set()


@dataclass(frozen=True)
class BeamOptions:
    """Beam's options, taken apart. `runner` is a name as it was given, None where none was; `rest` goes to Beam."""

    runner: str | None
    rest: tuple[str, ...]

    @property
    def name(self) -> str:
        """The runner's class, whatever case it was written in and whether or not `Runner` stood behind it."""
        given = (self.runner or "").rpartition(".")[2]
        known = {each.lower(): each for each in runner_names()}
        return known.get(given.lower(), known.get(given.lower() + "runner", given))

    @property
    def dask(self) -> bool:
        return self.name == DASK


def taken_apart(options: Sequence[str]) -> BeamOptions:
    """Take the runner out of Beam's options. RequestError for `--runner` without a name."""
    runner, rest, words = None, [], iter(options)
    for word in words:
        if word == "--runner":
            runner = next(words, "")
        elif word.startswith("--runner="):
            runner = word.removeprefix("--runner=")
        else:
            rest.append(word)
    if runner == "":
        raise RequestError(f"Beam does not take --runner=: name one of {', '.join(runner_names())}")
    return BeamOptions(runner, tuple(rest))


def runner_names() -> list[str]:
    """Runners that have a name, without those that are there for Beam's own tests and for notebooks."""
    from ..engine.beam import known_runners

    left_out = ("Test", "Interactive", "KafkaStreams")
    return sorted({DASK, *(name for name in known_runners() if not name.startswith(left_out))})


def refuse_what_cannot_run(options: Sequence[str]) -> None:
    """RequestError for Beam options that cannot lead to a run; asks each engine once in a process."""
    given = tuple(options)
    if given in _reached:
        return
    found = taken_apart(given)
    name = found.name
    if found.runner is not None and "." not in found.runner and name not in runner_names():
        from ..engine.beam import known_runners

        if name not in known_runners():
            near = difflib.get_close_matches(name, runner_names(), n=1, cutoff=0.75)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(runner_names())}"
            raise RequestError(f"Beam does not take --runner={found.runner}: no runner of that name; {hint}")
    if found.dask and importlib.util.find_spec("distributed") is None:
        raise MissingExtra("distributed", "dask")
    values = _values(found)
    if name == DASK:
        _reach_dask(values)
    elif name in PORTABLE:
        _reach_portable(name, values)
    elif name == "DataflowRunner":
        _reach_dataflow(values)
    _reached.add(given)


def _values(found: BeamOptions) -> argparse.Namespace:
    """What Beam makes of the options. RequestError for one that it knows not, which it would pass over."""
    from ..engine.beam import option_parser

    parser = option_parser(found.dask)
    known = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    try:
        values, unknown = parser.parse_known_args(list(found.rest))
    except (ValueError, SystemExit, argparse.ArgumentError) as error:
        raise RequestError(f"Beam does not take {' '.join(found.rest)}: {' '.join(str(error).split())}") from error
    for word in unknown:
        flag = word.split("=")[0]
        served = found.name in PORTABLE or "." in (found.runner or "")  # whose servers have options of their own
        near = difflib.get_close_matches(flag, known, n=1, cutoff=0.85 if served else 0.6)
        if near or not served:
            hint = f"did you mean {near[0]}?" if near else "Beam would pass it over without a word"
            raise RequestError(f"{found.name or 'the local runner'} knows no option {flag}; {hint}")
    return values


def unreachable(address: str, default: int | None = None) -> str | None:
    """Why no connection to host:port can be made, in words; None where one was made within `SECONDS`."""
    place = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = place.hostname, place.port or default
    except ValueError:
        return "its port is no number"
    if not host or not port:
        return "it is not of the form HOST:PORT"
    try:
        with socket.create_connection((host, port), SECONDS):
            return None
    except socket.gaierror:
        return f"there is no machine of the name {host}"
    except TimeoutError:
        return f"no answer within {SECONDS:.0f} seconds"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def _reach_dask(values: argparse.Namespace) -> None:
    address, file = getattr(values, "address", None), getattr(values, "scheduler_file", None)
    if file and not address:
        address = scheduler_in(file)
    if not address:
        return  # Beam starts workers here
    reach_scheduler(address, f"--dask_client_address={address}" if not file else f"--dask_scheduler_file={file}")


def scheduler_in(file: str) -> str:
    """The address in a file that `dask scheduler --scheduler-file` wrote. RequestError where there is none."""
    try:
        with open(file, encoding="utf-8") as held:
            return str(json.load(held)["address"])
    except FileNotFoundError:
        raise RequestError(
            f"--dask_scheduler_file: there is no file {file}; dask scheduler --scheduler-file {file} writes it"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"--dask_scheduler_file: {file} is not what dask scheduler writes: {error}") from None


def reach_scheduler(address: str, option: str) -> None:
    """RequestError where no Dask scheduler answers at the address."""
    why = unreachable(address, 8786)
    if why is not None:
        raise RequestError(
            f"{option}: no Dask scheduler answers at {address} ({why}); start one with `dask scheduler` and give "
            "the address that it prints"
        )
    if address.startswith("tls://"):
        return  # who it is can be asked only with the certificates of Dask's own configuration
    try:
        who = identity(address)
    except Exception as error:
        raise RequestError(
            f"{option}: what listens at {address} is no Dask scheduler of this version, or is too busy to answer "
            f"within {ANSWER:.0f} seconds"
        ) from error
    if who.get("type") != "Scheduler":
        raise RequestError(f"{option}: at {address} is a {who.get('type')} of Dask and no scheduler; give its address")


def identity(address: str) -> dict[str, Any]:
    """What a Dask scheduler says of itself and its workers. Raises what the connection raised, TimeoutError in time.

    Dask's own client waits for ever where something listens that says nothing.
    """
    from distributed.comm import connect

    async def ask() -> dict[str, Any]:
        comm = await connect(address, timeout=ANSWER)
        try:
            await comm.write({"op": "identity", "reply": True})
            told = await comm.read()
            return dict(told) if isinstance(told, dict) else {}
        finally:
            comm.abort()

    async def within() -> dict[str, Any]:
        return await asyncio.wait_for(ask(), ANSWER)

    with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own in this one
        return thread.submit(asyncio.run, within()).result()


def _reach_portable(name: str, values: argparse.Namespace) -> None:
    endpoint = getattr(values, "job_endpoint", None)
    if endpoint == "embed":
        return
    if endpoint:
        reach_job_server(endpoint)
    elif name == "PortableRunner":
        raise RequestError(
            "--runner=PortableRunner needs --job_endpoint=HOST:PORT, the address of a Beam job server; Flink and Spark "
            "have one of their own, and --runner=FlinkRunner or --runner=SparkRunner start it"
        )
    elif name == "PrismRunner":
        location = getattr(values, "prism_location", None)
        if location and "://" not in location and not os.path.exists(location):
            raise RequestError(f"--prism_location: there is no file {location}")
    else:
        _reach_java_server(name, values)


def reach_job_server(endpoint: str) -> None:
    """RequestError where no Beam job server answers at HOST:PORT."""
    why = unreachable(endpoint)
    if why is None:
        import grpc

        with grpc.insecure_channel(endpoint) as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=ANSWER)
            except grpc.FutureTimeoutError:
                why = f"what listens there speaks no gRPC, or not within {ANSWER:.0f} seconds"
    if why is not None:
        raise RequestError(
            f"--job_endpoint: no Beam job server answers at {endpoint} ({why}); start one (for Flink, Spark or Prism "
            "the page on clusters has the command) and give the port of its job service"
        )


def _reach_java_server(name: str, values: argparse.Namespace) -> None:
    """Flink's and Spark's job servers are jars that Beam runs here, unless the graph goes to them as one jar."""
    kind = name.removesuffix("Runner").lower()
    master = getattr(values, "flink_master", None) if kind == "flink" else getattr(values, "spark_rest_url", None)
    if master and master not in ("[auto]", "[local]"):
        why = unreachable(master, 8081 if kind == "flink" else 6066)
        if why is not None:
            option = "--flink_master" if kind == "flink" else "--spark_rest_url"
            raise RequestError(f"{option}: nobody answers at {master} ({why}); give the address of its REST interface")
    jar = getattr(values, f"{kind}_job_server_jar", None)
    if jar and "://" not in jar and not os.path.exists(jar):
        raise RequestError(f"--{kind}_job_server_jar: there is no file {jar}")
    instead = "or name one that runs already: --job_endpoint=HOST:PORT"
    if not getattr(values, f"{kind}_submit_uber_jar", False):
        java = getattr(values, "job_server_java_launcher", None) or "java"
        home = os.environ.get("JAVA_HOME")
        if shutil.which(java) is None and not (home and os.path.exists(os.path.join(home, "bin", "java"))):
            raise RequestError(
                f"--runner={name} starts a job server, which needs Java, and there is none here; install it, {instead}"
            )
    if not jar and not _cached_jar(kind, values) and unreachable(*_where_jars_are()) is not None:
        raise RequestError(
            f"--runner={name} needs Beam's job server for {kind.capitalize()}, a jar, and cannot fetch it from here; "
            f"give it as --{kind}_job_server_jar=FILE, {instead}"
        )


def _where_jars_are() -> tuple[str, int]:
    """(address, port) from which Beam fetches its jars."""
    from apache_beam.utils.subprocess_server import JavaJarServer

    return JavaJarServer.MAVEN_CENTRAL_REPOSITORY, 443


def _cached_jar(kind: str, values: argparse.Namespace) -> bool:
    folder = getattr(values, "jar_cache_dir", None) or os.path.expanduser("~/.apache_beam/cache/jars")
    return bool(glob.glob(os.path.join(folder, f"beam-runners-{kind}-*job-server*.jar")))


def _reach_dataflow(values: argparse.Namespace) -> None:
    if importlib.util.find_spec("apitools") is None:
        raise MissingExtra("apache-beam[gcp]", "gcp")
    lacking = [f"--{name}" for name in ("project", "region", "temp_location") if not getattr(values, name, None)]
    if lacking:
        raise RequestError(f"--runner=DataflowRunner needs {', '.join(lacking)}")
