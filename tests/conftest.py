"""How property tests choose their examples."""

from hypothesis import settings

# A commit is either good or not: the same examples in each run. `make soak` looks for new ones, with
# `--hypothesis-profile fresh`; what it finds becomes a test of its own.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("fresh", derandomize=False, print_blob=True)
settings.load_profile("fixed")
