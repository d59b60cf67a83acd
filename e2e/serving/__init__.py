"""What stands around pods of vLLM, for tests that have neither GPUs nor a kubelet.

pages     the recorded page /metrics of a real version, and live pages of the same names and types
queue     replicas that answer requests, simulated
http      a small server in threads
exporter  those pages, one a pod, and which pods there are, for Prometheus
adapter   custom and external metrics for the HPA, worked out of the shipped files by a real Prometheus
formula   KEDA's formulas, evaluated by the library that KEDA uses
"""
