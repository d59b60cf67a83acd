"""Nodes of which much is requested."""

from scoring.arrays import Floats
from scoring.scorers.base import Loads, NodeScorer, rounded
from scoring.scorers.least import mean_share, requested


class Most(NodeScorer):
    """Share of cpu and memory that is requested, their mean: MostAllocated of kube-scheduler's NodeResourcesFit."""

    name = "most"
    says = "nodes of which much is requested"

    def score(self, loads: Loads) -> Floats:
        """Share requested afterwards."""
        return rounded(mean_share(loads, requested(loads)))
