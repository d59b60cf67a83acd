// The library that KEDA evaluates formulas with, in the version that e2e/crds/go.mod's KEDA requires.
module dovetail.scheduler/e2e/serving/expr

go 1.24.0

require github.com/expr-lang/expr v1.17.8
