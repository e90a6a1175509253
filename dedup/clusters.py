"""Clusters: connected components over verified edges.

`components` is scipy's, for edges that fit in memory. `large_star` and `small_star` are one round each of the
alternating algorithm of Kiveris et al. 2014 ("Connected Components in MapReduce and Beyond"), as functions on one
node's neighbours, for a Beam graph when the edges do not fit; both name a component by its smallest node.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def components(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes that have an edge, and the smallest node of each one's component.

    a, b     (E,) uint64
    returns  nodes (N,) uint64 ascending, component (N,) uint64
    """
    nodes, places = np.unique(np.concatenate([a, b]), return_inverse=True)
    left, right = places[: len(a)], places[len(a) :]
    graph = coo_array((np.ones(len(a), np.int8), (left, right)), shape=(len(nodes), len(nodes)))
    _, label = connected_components(graph, directed=False)
    smallest = np.full(len(nodes), len(nodes), np.int64)
    np.minimum.at(smallest, label, np.arange(len(nodes)))
    return nodes, nodes[smallest[label]] if len(nodes) else nodes


def large_star(node: np.ndarray, neighbour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each node links its larger neighbours to the smallest of itself and its neighbours.

    node, neighbour  (E,) uint64, every edge in both directions; all edges of a node must be in this block
    returns          edges (larger, smaller), distinct
    """
    least = _least(node, neighbour)
    larger = neighbour > node
    return _distinct(neighbour[larger], least[larger])


def small_star(node: np.ndarray, neighbour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each node links its smaller neighbours, and itself, to the smallest of them.

    node, neighbour  (E,) uint64 with node > neighbour; all edges of a node must be in this block
    """
    least = _least(node, neighbour)
    return _distinct(np.concatenate([neighbour, node]), np.concatenate([least, least]))


def _least(node: np.ndarray, neighbour: np.ndarray) -> np.ndarray:
    nodes, place = np.unique(node, return_inverse=True)
    least = nodes.copy()
    np.minimum.at(least, place, neighbour)
    return least[place]


def _distinct(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = a[a != b], b[a != b]
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    new = np.r_[True, (a[1:] != a[:-1]) | (b[1:] != b[:-1])][: len(a)]
    return a[new], b[new]
