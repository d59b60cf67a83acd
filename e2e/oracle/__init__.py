"""Dovetail held against Kubernetes' own allocator: nasty small cases, one node and one pod each."""
