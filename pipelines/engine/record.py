"""The stage record: everything that the command line, settings files and messages need to know of a stage, as data.

Standard library alone: what a record names is a string `module:attribute`, loaded when it is used, so that help,
completion and the check of a settings file load nothing that only work needs. A module that begins with a dot is
relative to the record's own package. Refuses a name that does not load.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...corpus.store.errors import RequestError, of_an_extra

Named = str | Callable[..., Any] | None  # "module:attribute", or the thing itself in a plug-in file


@dataclass(frozen=True)
class StageRecord:
    """One stage.

    name      its section in a settings file, and its command unless `command` says otherwise
    about     what it does: the first line stands in lists, the whole is the help of its command
    example   one command line that a newcomer would run
    settings  the pydantic model of its section
    run       what runs it: a `Stage`, or a function of (workspace, settings, runner options, force=, quiet=)
    after     names of stages that come before it
    reads     tables that it reads, writes those that it writes; a name that ends in a slash is a folder of tables
    decides   whether it decides which documents stay
    many      whether its section is a list
    command   its words on the command line, for example "mix ladder"; None where there is no such command
    check     function of a `Checking`: refuses, before anything runs, what the section alone can tell
    options   pydantic model of what its command takes beside the settings; fields marked `section` stand in files too
    gather    function of (settings so far, options): the settings with what the options add
    act       function of an `Invocation` that runs it in another way than `run` alone, and returns the summary
    show      function of a summary: what is printed beside its counts
    more      (name, module:function) of sub-commands that are no stage
    parallel  whether it takes --workers
    replay    (table whose commit tells how it was asked for, function of an `Again` that runs it so), where rebuilding
              takes more than `run` and the settings; empty where it is not rebuilt
    package   the package that relative names are relative to
    """

    name: str
    about: str
    example: str
    settings: Named
    run: Named
    after: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    decides: bool = False
    many: bool = False
    command: str | None = ""
    check: Named = None
    options: Named = None
    gather: Named = None
    act: Named = None
    show: Named = None
    more: tuple[tuple[str, str], ...] = ()
    parallel: bool = True
    replay: tuple[tuple[str, str], ...] | None = None
    package: str = ""

    @property
    def words(self) -> str | None:
        """Its words on the command line; None where it has no command."""
        return self.name if self.command == "" else self.command

    @property
    def title(self) -> str:
        """The first line of what it does."""
        return self.about.strip().split("\n", 1)[0]

    def load(self, what: str) -> Any:
        """What the record names under `settings`, `run`, `check`, ...; None where it names nothing."""
        named = getattr(self, what)
        return self.resolve(named) if isinstance(named, str) and named else named or None

    def resolve(self, named: str) -> Any:
        """What `module:attribute` stands for. RequestError where it does not load."""
        module, _, attribute = named.partition(":")
        try:
            return getattr(importlib.import_module(module, self.package or None), attribute)
        except (ImportError, AttributeError, TypeError) as error:
            missing = of_an_extra(error) if isinstance(error, ImportError) else None
            if missing is not None:
                raise missing from error
            raise RequestError(f"stage {self.name}: {named} cannot be loaded: {error}") from error
