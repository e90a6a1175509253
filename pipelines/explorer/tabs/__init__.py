"""The tabs of the explorer: each a function from a `View` to the HTML of its page."""

from collections.abc import Callable

from .cluster_pages import cluster, pair
from .document import document
from .documents import documents
from .duplicates import duplicates
from .embedding_map import embedding_map
from .funnel import funnel
from .mixture import mixture
from .runs import runs
from .signals import signals
from .sql_box import sql_box

PAGES: dict[str, tuple[str, Callable[..., str]]] = {
    "funnel": ("Funnel", funnel),
    "signals": ("Signals", signals),
    "documents": ("Documents", documents),
    "document": ("Document", document),
    "duplicates": ("Duplicates", duplicates),
    "cluster": ("Cluster", cluster),
    "pair": ("Two documents", pair),
    "mixture": ("Mixture", mixture),
    "runs": ("Runs", runs),
    "map": ("Map", embedding_map),
    "sql": ("SQL", sql_box),
}
