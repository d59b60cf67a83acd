"""What a class of pods prefers of nodes, measured as kube-scheduler does, and what that comes to beside all else.

A wish is no rule: it moves nodes up and down. Each is measured in a column over nodes and brought to [0, 1] by the
least and the most of all nodes on which the pod fits, so one node may move all others. Who prefers nothing pays
nothing, as long as no node would rather keep pods away; who does pays a pass over the columns after anything moved.
"""

import math
from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scheduler.core.demand import Demand
from scheduler.core.leanings import Leanings
from scheduler.core.match import tolerates
from scheduler.core.model import PREFER_NO_SCHEDULE, NodeSelectorTerm, Taint
from scheduler.core.neighbours import Even
from scheduler.core.nodes import NodeTable
from scheduler.core.rules.affinity import term_holds
from scheduler.core.rules.base import in_all, spread_out, topology_of
from scheduler.core.rules.offers import used_share
from scheduler.core.rules.spread import domains_of
from scoring.arrays import Counts, Mask, Rows
from scoring.opinion import Opinion
from scoring.placement import HIGHEST, steps
from scoring.scorers import WISH_SCORERS
from scoring.scorers.base import Wishes as Measured
from scoring.scorers.base import WishScorer

AFFINITY, WELCOME, IMAGES, COMPANY, EVENNESS, STORAGE = (scorer.name for scorer in WISH_SCORERS)
HOSTNAME: Final = "kubernetes.io/hostname"
Column = NDArray[np.float64]


class Wishes:
    """One class of pods. stated : names of the scorers that are asked; it changes with the state."""

    def __init__(self, demand: Demand, opinion: Opinion) -> None:
        self._demand = demand
        self._weights = {name: weight for name, weight in opinion.wish_weights.items() if weight}
        self._unit = opinion.unit
        self._scorers = {scorer.name: scorer for scorer in WISH_SCORERS}
        self._columns: dict[str, Column] = {}
        self._scores: dict[str, NDArray[np.float32]] = {}
        self._bounds: dict[str, tuple[float, float]] = {}
        self._more: Counts = np.zeros(0, np.int64)
        self._images_at: Hashable = None
        self._around_at: tuple[int, int] | None = None
        self._stored_at: int | None = None  # how far changes of storage were followed
        self.stated: tuple[str, ...] = ()

    def look(self, nodes: NodeTable) -> tuple[str, ...]:
        """Note and return who is to be asked now; if that differs from before, `resize` and `sort` all nodes anew."""
        demand = self._demand
        stored = demand.mounts is not None and demand.mounts.scored
        if not (demand.preferred or demand.images or demand.leanings or nodes.discouraged or stored):
            self.stated = ()
            return self.stated
        leanings = demand.leanings or Leanings()
        there: dict[str, object] = {
            AFFINITY: demand.preferred,
            WELCOME: nodes.discouraged and not demand.foreign,
            IMAGES: demand.images,
            COMPANY: leanings.own or leanings.others,
            EVENNESS: leanings.evens,
            STORAGE: stored,
        }
        self.stated = tuple([name for name, found in there.items() if found and name in self._weights])
        return self.stated

    def resize(self, size: int) -> None:
        """Know nothing of so many nodes."""
        self._columns = {name: np.zeros(size) for name in self.stated}
        self._scores = {name: np.zeros(size, np.float32) for name in self.stated}
        self._bounds.clear()
        self._more = np.zeros(size, np.int64)
        self._images_at = None
        self._around_at = None
        self._stored_at = None

    def sort(self, nodes: NodeTable, rows: Rows) -> None:
        """Measure of these nodes what changes with them only."""
        if AFFINITY in self._columns:
            self._columns[AFFINITY][rows] = _preferred(nodes, self._demand.preferred, rows)
        if WELCOME in self._columns:
            self._columns[WELCOME][rows] = self._unwelcome(nodes, rows)
        if STORAGE in self._columns and self._demand.mounts is not None:
            if self._stored_at is None:
                self._stored_at = nodes.volumes.changes.position
            self._columns[STORAGE][rows] = used_share(nodes, self._demand.mounts, rows)

    def weigh(self, nodes: NodeTable, base: Counts) -> Counts:
        """Ranks with what is preferred in them, int64 (N,); base : without, -1 where the pod does not fit."""
        fits = base >= 0
        moved = self._measure(nodes, fits)
        changed = False
        for name, column in self._columns.items():
            bounds = _bounds(column[fits])
            if name in moved or self._bounds.get(name) != bounds:
                self._bounds[name] = bounds
                self._scores[name] = self._score(name, column, bounds)
                changed = True
        if changed:
            summed = np.zeros(len(base))
            for name, scores in self._scores.items():
                summed += self._weights[name] * scores.astype(np.float64)
            self._more = steps(self._unit * summed).astype(np.int64)
        within = base % (2 * HIGHEST)
        ranks: Counts = base - within + (within + self._more).clip(0, 2 * HIGHEST - 1)
        ranks[~fits] = -1
        return ranks

    def resorted(self) -> None:
        """Nodes were sorted anew: their columns changed."""
        self._bounds.clear()

    def still(self, nodes: NodeTable) -> bool:
        """Whether all that hangs on more than the node itself is as it was when it was measured last."""
        if IMAGES in self._columns and self._images_at != nodes.images.version(self._demand.images):
            return False
        if STORAGE in self._columns and self._stored_at != nodes.volumes.changes.position:
            return False
        around = COMPANY in self._columns or EVENNESS in self._columns
        return not around or self._around_at == (nodes.residents.version, nodes.remade.position)

    def at(self, row: int) -> dict[str, float]:
        """Scores of one node, by scorer."""
        return {name: round(float(self._scores[name][row]), 6) for name in self.stated}

    def _score(self, name: str, column: Column, bounds: tuple[float, float]) -> NDArray[np.float32]:
        parts = len(self._demand.images) if name == IMAGES else 1
        scorer: WishScorer = self._scorers[name]
        return scorer.score(Measured(column, *bounds, parts))

    def _measure(self, nodes: NodeTable, fits: Mask) -> set[str]:
        """Measure anew what hangs on more than the node itself; returns what that was."""
        moved, leanings = set(), self._demand.leanings or Leanings()
        if IMAGES in self._columns:
            at = nodes.images.version(self._demand.images)
            if self._images_at != at:
                self._images_at = at
                self._columns[IMAGES] = nodes.images.spread(self._demand.images, max(len(nodes.rows), 1))
                moved.add(IMAGES)
        around_at = (nodes.residents.version, nodes.remade.position)
        if COMPANY in self._columns and self._around_at != around_at:
            self._columns[COMPANY] = _company(nodes, leanings)
            moved.add(COMPANY)
        if EVENNESS in self._columns:
            self._columns[EVENNESS] = _evenness(nodes, self._demand, leanings.evens, fits)
            moved.add(EVENNESS)
        self._around_at = around_at
        if STORAGE in self._columns and self._follow_storage(nodes):
            moved.add(STORAGE)
        return moved

    def _follow_storage(self, nodes: NodeTable) -> bool:
        """Measure nodes again of which the storage changed; whether that came to anything."""
        changes, at = nodes.volumes.changes, self._stored_at
        self._stored_at = changes.position
        found = changes.since(at) if at is not None else None
        rows = np.flatnonzero(nodes.live) if found is None else np.array(found, np.int64)
        if self._demand.mounts is None or not len(rows):
            return False
        column = self._columns[STORAGE]
        before, column[rows] = column[rows], used_share(nodes, self._demand.mounts, rows.astype(np.int32))
        return not np.array_equal(before, column[rows], equal_nan=True)

    def _unwelcome(self, nodes: NodeTable, rows: Rows) -> Column:
        tolerations = [each for each in self._demand.tolerations if each.effect in {"", PREFER_NO_SCHEDULE}]

        def count(taints: tuple[Taint, ...] | None) -> int:
            return sum(
                taint.effect == PREFER_NO_SCHEDULE and not any(tolerates(each, taint) for each in tolerations)
                for taint in taints or ()
            )

        return spread_out(nodes.taints, rows, count).astype(np.float64)


def _preferred(nodes: NodeTable, terms: Sequence[tuple[int, NodeSelectorTerm]], rows: Rows) -> Column:
    """Sum of the weights of the terms that hold."""
    summed = np.zeros(len(rows))
    for weight, term in terms:
        held: Mask = term_holds(nodes, term, rows)
        summed += weight * held
    return summed


def _company(nodes: NodeTable, leanings: Leanings) -> Column:
    """Sum of the weights of the terms that pods meet in the domains of each node, once for each such pod."""
    residents = nodes.residents
    summed: Counts = np.zeros(nodes.size, np.int64)
    terms = [(weight, topology, residents.count(query)) for weight, topology, query in leanings.own]
    terms += [(lean.weight, lean.term.topology, residents.leaners(lean)) for lean in leanings.others]
    for weight, topology, tally in terms:
        if tally.total:
            domains = topology_of(nodes, topology)
            [at] = tally.counts.nonzero()
            met = np.bincount(domains.number[at] + 1, tally.counts[at], domains.size + 1).astype(np.int64)
            met[0] = 0  # nodes without the key are in no domain
            summed += weight * met.take(domains.number + 1)
    return summed.astype(np.float64)


def _evenness(nodes: NodeTable, demand: Demand, evens: tuple[Even, ...], fits: Mask) -> Column:
    """What soft spread constraints count for each node, NaN where it lacks one of their keys.

    Domains are those of the nodes that fit; hosts count their own pods, whatever policies leave out.
    """
    keys = tuple(each.topology for each in evens)
    known = in_all(nodes, keys)
    among = fits & known
    summed = np.zeros(nodes.size)
    for each in evens:
        domains = topology_of(nodes, each.topology)
        counts = nodes.residents.count(each.pods).counts
        if each.topology == HOSTNAME:
            number, found = int(np.count_nonzero(among)), counts
        else:
            present: Mask = np.zeros(domains.size, np.bool_)
            present[domains.number[among]] = True
            number = int(np.count_nonzero(present))
            found = domains_of(nodes, demand, each, keys).sums(counts).take(domains.number)
        summed += found * math.log(number + 2) + (each.max_skew - 1)
    # Half away from zero, as Go rounds.
    return np.where(known, np.floor(summed + 0.5), np.nan)


def _bounds(values: Column) -> tuple[float, float]:
    """The least and the most, (0, 0) of nothing; what is NaN does not count."""
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
