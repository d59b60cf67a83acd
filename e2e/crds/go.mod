// Where the definitions of ServiceMonitor and PrometheusRule come from: files of this module, none of which is compiled.
module dovetail.scheduler/e2e/crds

go 1.24.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
