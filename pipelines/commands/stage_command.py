"""The command of a stage, made from its record: options, types, defaults and help are those of its settings model.

A field is an option of its own name; `json_schema_extra={"cli": {...}}` says what differs: `option` another name (None:
settings files only), `short` a letter, `names` what completion lists, `argument` a positional one, `metavar`, `parse` a
name of `parsing.PARSERS`. bool is --x/--no-x, a tuple may be repeated, name -> text is NAME=PATH, name -> number is
NAME=NUMBER, repeated. Of a nested model those fields are options that name one; the rest stands in settings files.
"""

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..engine.invocation import Checking, Invocation
from ..engine.record import StageRecord
from .options import (
    ClusterOption,
    ForceOption,
    JsonOption,
    KeepOption,
    PluginOption,
    RefitOption,
    SettingsOption,
    WorkersOption,
    WorkspaceOption,
    runner_options,
    settings_file,
    settings_of,
    show,
)
from .parsing import PARSERS

SCALARS = (str, int, float)


@dataclass(frozen=True)
class StageOption:
    """One option of a stage's command: where its value goes, how it is declared, how its text is read."""

    path: tuple[str, ...]  # field, or nested model and field
    name: str  # of the parameter
    flag: str  # as users write it
    kind: Any  # the type that typer is given
    declared: Any  # typer.Option or typer.Argument
    parse: Callable[[str, Any], Any] | None
    required: bool
    argument: bool

    def parameter(self) -> inspect.Parameter:
        default = inspect.Parameter.empty if self.required else None
        kind = Annotated[self.kind if self.required else self.kind | None, self.declared]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def stage_options(model: type[BaseModel], within: tuple[str, ...] = ()) -> Iterator[StageOption]:
    """The options of a settings model, in the order of its fields."""
    for name, field in model.model_fields.items():
        cli = cli_of(field)
        arms = alternatives(field.annotation)
        nested = next((arm for arm in arms if isinstance(arm, type) and issubclass(arm, BaseModel)), None)
        if nested is not None and not within and len(arms) == 1:
            yield from stage_options(nested, (name,))
        elif "option" in cli and cli["option"] is None:
            continue
        elif not within or "option" in cli:
            made = _option(name, field, cli, arms, within)
            if made is not None:
                yield made


def cli_of(field: FieldInfo) -> Mapping[str, Any]:
    """What a field says of its option."""
    extra = field.json_schema_extra
    found = extra.get("cli", {}) if isinstance(extra, dict) else {}
    return found if isinstance(found, dict) else {}


def alternatives(annotation: Any) -> list[Any]:
    """The types that a field may have, without None and without marks."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [one for arm in get_args(annotation) if arm is not type(None) for one in alternatives(arm)]
    return [annotation]


def _option(
    name: str, field: FieldInfo, cli: Mapping[str, Any], arms: list[Any], within: tuple[str, ...]
) -> StageOption | None:
    """The option of one field; None where a command line has no form for it."""
    kind, parse = _kind(cli, arms)
    if kind is None:
        return None
    required = field.is_required() and not within
    flag = cli.get("option") or "--" + name.replace("_", "-")
    argument = bool(cli.get("argument"))
    help_text = field.description or ""
    if argument:
        declared = typer.Argument(help=help_text, metavar=cli.get("metavar"), show_default=False)
    else:
        flags = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
        flags += [cli["short"]] if "short" in cli else []
        default = "" if within else shown_default(field)
        told = f"{help_text}  [default: {default}]" if default else help_text
        declared = typer.Option(
            *flags,
            help=told,
            show_default=False,
            metavar=metavar_of(kind, cli, arms),
            autocompletion=_completion(cli["names"]) if "names" in cli else None,
        )
    return StageOption((*within, name), "_".join((*within, name)), flag, kind, declared, parse, required, argument)


def _completion(what: str) -> Callable[[str], list[str]]:
    """Completion that knows the names of a kind: rules, signals, ..."""

    def complete(incomplete: str) -> list[str]:
        from ..engine.listing import names

        return names(what, incomplete)

    return complete


def _kind(cli: Mapping[str, Any], arms: list[Any]) -> tuple[Any, Callable[[str, Any], Any] | None]:
    """(type for typer, reader of its text) of a field."""
    if "parse" in cli:
        many, parse = PARSERS[cli["parse"]]
        return (list[str] if many else str), parse
    for arm in arms:
        origin, inner = get_origin(arm), get_args(arm)
        if arm is bool or arm in SCALARS or origin is Literal:
            return arm, None
        if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
            of = alternatives(inner[0])[0]
            if of in SCALARS:
                return list[of], None
            if cli.get("argument"):
                return list[str], None
        if origin is dict and inner[0] is str:
            of = alternatives(inner[1])[0]
            if of in (str, float):
                return list[str], PARSERS["named_files" if of is str else "shares"][1]
    return None, None


def metavar_of(kind: Any, cli: Mapping[str, Any], arms: list[Any]) -> str | None:
    """What stands for the value in help; None where typer's own word is right."""
    if get_origin(kind) is not list:
        return cli.get("metavar")
    inner = [get_args(arm) for arm in arms if get_origin(arm) is dict]
    form = "NAME=NUMBER" if inner and float in alternatives(inner[0][1]) else "NAME=PATH" if inner else "TEXT"
    return cli.get("metavar", form if "parse" not in cli else "TEXT")


def shown_default(field: FieldInfo) -> str:
    """The default as help shows it; nothing where the description says what happens without one."""
    default = field.default
    if field.is_required() or default is None or default in ((), {}):
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def values_of(options: list[StageOption], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given on the command line, as values of the settings; what was not given is left out."""
    found: dict[str, Any] = {}
    for option in options:
        value = given.get(option.name)
        if value is None or value == []:
            continue
        if option.parse is not None:
            value = option.parse(option.flag if not option.argument else option.name.upper(), value)
        here = found
        for part in option.path[:-1]:
            here = here.setdefault(part, {})
        here[option.path[-1]] = value
    return found


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values; where both are mappings of settings, field by field."""
    found = dict(below)
    for name, value in above.items():
        under = found.get(name)
        found[name] = merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return found


COMMON = {
    "workspace": WorkspaceOption,
    "settings": SettingsOption,
    "plugin": PluginOption,
    "workers": WorkersOption,
    "cluster": ClusterOption,
    "json": JsonOption,
    "force": ForceOption,
    "refit": RefitOption,
    "keep_generations": KeepOption,
}


def stage_command(record: StageRecord) -> Callable[..., None]:
    """The function that typer makes the command of."""
    model, extra = record.load("settings"), record.load("options")
    of_settings = list(stage_options(model))
    of_options = list(stage_options(extra)) if extra is not None else []
    both = [*of_settings, *of_options]
    grouped = bool(record.more) or record.words == "mix"  # its options must not be asked of its sub-commands

    def command(context: typer.Context, **given: Any) -> None:
        if context.invoked_subcommand is not None:
            return
        lacking = [option.flag for option in both if option.required and given.get(option.name) is None]
        if grouped and not given["workspace"]:
            lacking.insert(0, "--workspace")
        if lacking:
            raise typer.BadParameter(f"gristmill {record.words} needs {', '.join(lacking)}")
        run_command(context, record, of_settings, of_options, given)

    parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    parameters += [option.parameter() for option in both if option.argument]
    for name, kind in COMMON.items():
        if name not in ("workers", "cluster", "refit", "keep_generations") or record.parallel:
            empty = inspect.Parameter.empty if name == "workspace" and not grouped else DEFAULTS[name]
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=empty, annotation=kind))
    parameters += [option.parameter() for option in both if not option.argument]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__name__ = record.name
    command.__doc__ = f"{record.about}\n\nExample: {record.example}"
    return command


DEFAULTS: dict[str, Any] = {
    "workspace": "",
    "settings": None,
    "plugin": None,
    "workers": 1,
    "cluster": None,
    "json": False,
    "force": False,
    "refit": False,
    "keep_generations": 1,
}


def run_command(
    context: typer.Context,
    record: StageRecord,
    of_settings: list[StageOption],
    of_options: list[StageOption],
    given: Mapping[str, Any],
) -> None:
    """Settings from the file and the options, the record's own check, the run, and what is said of it."""
    from ...corpus.store.workspace import Workspace

    model, extra = record.load("settings"), record.load("options")
    values = merged(settings_file(given["settings"]) if given["settings"] else {}, values_of(of_settings, given))
    options = settings_of(extra, **values_of(of_options, given)) if extra is not None else None
    gather = record.load("gather")

    def settings() -> Any:
        made = settings_of(model, **(gather(values, options) if gather is not None else values))
        check = record.load("check")
        if check is not None:
            check(Checking(made, place, {record.name: made}))
        return made

    place = Workspace(given["workspace"])
    workers, refit, keep = given.get("workers") or 1, given.get("refit") or False, given.get("keep_generations") or 1
    runner = runner_options(context, workers, refit, given["force"], keep, given.get("cluster"))
    asked = Invocation(record, place, settings, options, runner, given["force"], given["json"], values)
    for summary in asked.summaries():
        show(summary, given["json"])
        more = record.load("show")
        if more is not None and not given["json"]:
            typer.echo(more(summary), nl=False)


def stage_app(record: StageRecord, below: Mapping[str, StageRecord]) -> Callable[..., None] | typer.Typer:
    """The command of a record: a function, or a group where it has sub-commands."""
    command = stage_command(record)
    if not record.more and not below:
        return command
    group = typer.Typer(invoke_without_command=True, no_args_is_help=False, rich_markup_mode=None)
    group.callback()(command)
    for name, named in record.more:
        group.command(name)(record.resolve(named))
    for name, inner in below.items():
        group.command(name)(stage_command(inner))
    return group
