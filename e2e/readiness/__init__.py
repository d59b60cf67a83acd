"""Records of clusters for tests of `dovetail readiness`: `python -m e2e.readiness` makes them anew.

    clusters    eight clusters: which Kubernetes, which gates, and what drivers of their time publish
    __main__    starts their API servers one after another, creates all that, and records each as `--record` does

Nodes, slices and DaemonSets are written to real API servers, which keep, default and drop fields as they do; no driver
runs there.
"""
