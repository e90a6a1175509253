"""Commands as methods: a stage's record and keyword arguments in, what its command prints out, as an object.

Arguments are the fields of the command's settings, or the names of its options (`block_domains=` for
`--block-domains`). Refuses, as a RequestError with the nearest name, what neither is.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gristmill.corpus.store.errors import RequestError, unknown_name

if TYPE_CHECKING:
    from gristmill.pipelines.engine.record import StageRecord
    from gristmill.workspaces import Workspace


class Result:
    """What a command did. Has the workspace's methods too, so that calls may be chained.

    summaries  what `--json` prints, one for each thing that the command did
    tables     table -> counts, details: of the last of them
    """

    def __init__(self, workspace: "Workspace", summaries: list[dict[str, Any]], text: str = "") -> None:
        self.workspace, self.summaries, self._text = workspace, summaries, text

    @property
    def tables(self) -> dict[str, dict[str, int]]:
        return self.summaries[-1].get("tables", {}) if self.summaries else {}

    @property
    def details(self) -> dict[str, Any]:
        return self.summaries[-1].get("details", {}) if self.summaries else {}

    @property
    def skipped(self) -> bool:
        """Whether everything was up to date."""
        return bool(self.summaries) and all(summary.get("skipped", False) for summary in self.summaries)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.workspace, name)

    def __repr__(self) -> str:
        return self._text.rstrip("\n") or "done"


def methods() -> dict[str, "StageRecord"]:
    """Name of a method -> the record of its command."""
    from gristmill.pipelines.engine.registry import records

    return {method_name(record.words): record for record in records().values() if record.words}


def method_name(words: str) -> str:
    """`mix ladder` -> `mix_ladder`."""
    return words.replace(" ", "_").replace("-", "_")


def call(workspace: "Workspace", record: "StageRecord", given: tuple[Any, ...], named: Mapping[str, Any]) -> Result:
    """Run a stage as its command does. `force`, `refit`, `keep_generations` and `workers` are taken beside its own
    arguments."""
    from gristmill.pipelines.commands.options import settings_of
    from gristmill.pipelines.commands.stage_command import merged, stage_options
    from gristmill.pipelines.engine.invocation import Checking, Invocation
    from gristmill.pipelines.printing import printed

    asked = dict(named)
    force, refit = bool(asked.pop("force", False)), bool(asked.pop("refit", False))
    runner = workspace.runner(refit, asked.pop("workers", None), int(asked.pop("keep_generations", 1)))
    model, extra = record.load("settings"), record.load("options")
    of_settings, of_options = list(stage_options(model)), list(stage_options(extra)) if extra is not None else []
    positional = [option for option in of_settings if option.argument]
    if given:
        if not positional:
            raise RequestError(f"{record.words} takes named arguments alone")
        many = positional[0].path[0] in model.model_fields and _is_list(positional[0].kind)
        every = [one for several in given for one in (several if isinstance(several, list | tuple) else [several])]
        asked[positional[0].path[0]] = [_text(one) for one in every] if many else _text(given[0])
    values: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    for name, value in asked.items():
        if extra is not None and name in extra.model_fields:
            beside[name] = value
        elif name in model.model_fields:
            values = merged(values, of_field(of_settings, name, value))
        else:
            option = next((o for o in (*of_settings, *of_options) if o.flag == "--" + name.replace("_", "-")), None)
            if option is None:
                known = {*model.model_fields, *(extra.model_fields if extra else ()), *_flags(of_settings)}
                raise unknown_name("argument", name, known, record.words or "")
            values = merged(values, _nested(option.path, _parsed(option, value)))
    options = settings_of(extra, **beside) if extra is not None else None
    gather = record.load("gather")

    def settings() -> Any:
        made = settings_of(model, **(gather(values, options) if gather is not None else values))
        check = record.load("check")
        if check is not None:
            check(Checking(made, workspace.held, {record.name: made}))
        return made

    invocation = Invocation(record, workspace.held, settings, options, runner, force, workspace.quiet, values, True)
    summaries: list[dict[str, Any]] = []
    told: list[str] = []
    more = record.load("show")
    for summary in invocation.summaries():
        summaries.append(summary)
        told.append(printed(summary) + (more(summary) if more is not None else ""))
    return Result(workspace, summaries, "".join(told))


def _is_list(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is list


def _text(value: Any) -> Any:
    return str(value) if hasattr(value, "__fspath__") else value


def _plain(value: Any) -> Any:
    return [_text(one) for one in value] if isinstance(value, list | tuple) else _text(value)


def _flags(options: list[Any]) -> set[str]:
    return {option.flag.lstrip("-").replace("-", "_") for option in options}


def _parsed(option: Any, value: Any) -> Any:
    """A value as the option's text would be read: a mapping or a ready value stands as it is."""
    if isinstance(value, Mapping):
        return dict(value)
    if _is_list(option.kind):
        value = [_text(one) for one in (value if isinstance(value, list | tuple) else [value])]
    return option.parse(option.flag, value) if option.parse is not None else _plain(value)


def of_field(options: list[Any], name: str, value: Any) -> dict[str, Any]:
    """A field's value; a text means what it means on the command line: `none`, 1/8, a,b."""
    option = next((one for one in options if one.path == (name,) and one.parse is not None), None)
    if option is not None and isinstance(value, str):
        return _nested(option.path, _parsed(option, value))
    return {name: _plain(value)}


def _nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return dict(value)
