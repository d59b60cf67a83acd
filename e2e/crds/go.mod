// Where the definitions of PodMonitor, PrometheusRule, ScaledObject and ServiceMonitor come from: files of these
// modules, none of which is compiled.
module dovetail.scheduler/e2e/crds

go 1.24.0

require (
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
