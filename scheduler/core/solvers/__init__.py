"""From demands to placements."""
