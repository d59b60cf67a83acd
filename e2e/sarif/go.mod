// Where the schema of SARIF 2.1.0 comes from, as OASIS published it: a file of this module, which is not compiled.
module dovetail/e2e/sarif

go 1.24.0

require github.com/owenrumney/go-sarif/v3 v3.3.1
