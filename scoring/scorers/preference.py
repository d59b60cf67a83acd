"""How early in their lists the alternatives stand that a pod's requests get."""

from scoring.scorers.base import RankScorer

LONGEST = 8  # alternatives of a request, by the API


class Preference(RankScorer):
    """1 - the mean index of the alternatives that serve the requests with a list, over the longest list; 1 without.

    It is shown, and never weighed against anything: KEP-4816 demands of every request the first alternative that can
    be had on a node, and between nodes Dovetail keeps to the same order, before all scores. A weight would either say
    the same or contradict it. So a weight other than 0 changes no placement, only the total that explanations show.
    """

    name = "preference"
    says = "early alternatives of lists; comes before all weights"

    def worth(self, indices: int, lists: int) -> float:
        """Of a placement: the sum of the indices of the alternatives chosen, and how many lists they are from."""
        return round(1 - indices / (LONGEST * lists), 6) if lists else 1.0
