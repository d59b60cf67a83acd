"""The API's shapes, pruned to what a decision reads (`v1`, `resource.k8s.io/v1` of Kubernetes 1.37).

Fields are optional and may be null wherever the API allows either; unknown fields are skipped. Names are those of the
API in snake case. What the shapes mean is said in `scheduler.cluster.kinds`.
"""
