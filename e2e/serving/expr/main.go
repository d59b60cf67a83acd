// Evaluates formulas as KEDA does: a line of JSON {"formula": "...", "values": {"name": 1.5}} in, a number out.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/expr-lang/expr"
)

type question struct {
	Formula string             `json:"formula"`
	Values  map[string]float64 `json:"values"`
}

func answer(line []byte) (any, error) {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	compiled, err := expr.Compile("float("+asked.Formula+")", expr.Env(asked.Values))
	if err != nil {
		return nil, err
	}
	return expr.Run(compiled, asked.Values)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		found, err := answer(lines.Bytes())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(found)
	}
}
