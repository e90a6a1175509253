"""`gm.Workspace`: a folder of tables, with a method for every command.

The methods of stages are made from their records, those of plug-ins too: `ws.filter(rules="fineweb")` is
`gristmill filter --rules fineweb`. The others are written out here. Refuses a method that is no command.
"""

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gristmill.calls import Result, call, methods
from gristmill.corpus.store.errors import RequestError

if TYPE_CHECKING:
    import duckdb

    from gristmill.documents import Documents
    from gristmill.pipelines.clusters.settings import Cluster
    from gristmill.pipelines.engine.runner import RunnerOptions


class Workspace:
    """A workspace at a folder or fsspec URL.

    workers  local worker processes of its calls
    beam     Beam's own options, as after `--` on the command line
    cluster  a cluster file, or what stands in one: the engine that runs its graphs
    quiet    no progress; default: shown on a terminal and in a notebook
    """

    def __init__(
        self,
        url: Any,
        workers: int = 1,
        beam: Iterable[str] = (),
        quiet: bool | None = None,
        cluster: str | Mapping[str, Any] | None = None,
    ) -> None:
        from gristmill.corpus.store.workspace import Workspace as Held
        from gristmill.pipelines.clusters.settings import cluster_of, read_cluster

        self.held: Held = Held(str(url))
        self.workers, self.beam = workers, tuple(beam)
        self.cluster: Cluster | None = None
        if cluster is not None:
            self.cluster = read_cluster(cluster) if isinstance(cluster, str) else cluster_of(dict(cluster), "cluster")
        self.quiet = not (sys.stderr.isatty() or "ipykernel" in sys.modules) if quiet is None else quiet

    @property
    def url(self) -> str:
        return self.held.url

    def __repr__(self) -> str:
        return f"gristmill.Workspace({self.url!r})"

    def runner(self, refit: bool = False, workers: int | None = None, keep: int = 1) -> "RunnerOptions":
        """How its calls run."""
        from gristmill.pipelines.engine.runner import RunnerOptions

        return RunnerOptions(
            workers=workers or self.workers, beam=self.beam, refit=refit, keep=keep, cluster=self.cluster
        )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name == "held":
            raise AttributeError(name)
        record = methods().get(name)
        if record is None:
            near = difflib.get_close_matches(name, [*methods(), *vars(Workspace)], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise AttributeError(f"a workspace has no {name!r}{hint}")

        def method(*given: Any, **named: Any) -> Result:
            return call(self, record, given, named)

        method.__name__, method.__doc__ = name, f"{record.about}\n\nOn the command line: {record.example}"
        fields = record.load("settings").model_fields
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter("given", inspect.Parameter.VAR_POSITIONAL)]
        parameters += [inspect.Parameter(field, keyword, default=told.default) for field, told in fields.items()]
        method.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return method

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *methods()})

    # ---- commands that are no stage

    def mix(self, **named: Any) -> Any:
        """Search the best mixture; the recipe. `gristmill mix`."""
        from gristmill.recipes import Recipe

        result = call(self, methods()["mix"], (), named)
        return Recipe(self.held.path("mixture", "recipe.yaml"), self, result)

    def train(self, recipe: Any = None, **named: Any) -> Result:
        """Train on a recipe: one from `mix`, or the path of a file. `gristmill train`."""
        from gristmill.recipes import Recipe

        given = () if recipe is None else (recipe.path if isinstance(recipe, Recipe) else recipe,)
        return call(self, methods()["train"], given, named)

    def sql(self, query: str) -> "duckdb.DuckDBPyRelation":
        """The answer to a query over the views: `.df()`, `.to_arrow_table()`, `.fetchall()`, `.pl()`."""
        from gristmill.corpus.store.catalog import open_catalog

        connection = open_catalog(self.held)
        found = connection.sql(query)
        if found is None:
            raise RequestError(f"the query returns nothing: {query}")
        return found

    def documents(self, until: Iterable[str] | None = None) -> "Documents":
        """Documents that are kept, with the text as the stages left it and their own columns as `extra`.

        until  names of deciding stages: as these left them; default: all
        """
        from gristmill.documents import Documents

        return Documents(self, None if until is None else tuple(until))

    def tables(self) -> dict[str, dict[str, int]]:
        """Every finished table and its counts."""
        found = {table.name: table.manifest() for table in self.held.tables()}
        return {name: dict(manifest.counts) for name, manifest in found.items() if manifest is not None}

    def status(self) -> dict[str, Any]:
        """Of each stage whether it is done, stale and why, unfinished or was never run."""
        from gristmill.pipelines.status import status_of

        return status_of(self.held)

    def audit(self, target: Sequence[str] = ()) -> dict[str, Any]:
        """{findings, checked}: a workspace that is whole has no finding. `target`: files of target tasks, of which
        it is found out how much is trained on."""
        from gristmill.pipelines.audit import audit

        return audit(self.held, target)

    def report(self, output: str | None = None) -> dict[str, Any]:
        """Write the HTML page."""
        from gristmill.pipelines.report.page import ReportSettings, write_report

        return write_report(self.held, ReportSettings(output=output))

    def opt_out(self, *entries: str, rebuild: bool = True) -> Result:
        """Remove documents by id, URL or host, now and in every later extraction."""
        from gristmill.corpus.removals import parse
        from gristmill.pipelines.removals.request import remove_on_request

        asked = parse(entries, "opt_out")
        summary = remove_on_request(self.held, asked, "list", self.runner(), quiet=self.quiet, rebuild=rebuild)
        return Result(self, [summary], f"opt-out: removed {summary['removed']:,} documents\n")
