// Command oracle answers questions with Kubernetes' own DRA allocator and CEL compiler.
//
// One JSON case a line on stdin, one JSON answer a line on stdout, in the same order.
//
// kind "allocate" (also when absent) runs the allocator for one node:
//
//	{"id": any, "node": Node, "claims": [ResourceClaim], "classes": [DeviceClass], "slices": [ResourceSlice],
//	 "allocatedClaims": [ResourceClaim], "features": {"ConsumableCapacity": true, ...}, "timeoutSeconds": 10}
//	-> {"id": any, "outcome": "ok" | "nofit" | "node-error" | "fatal" | "timeout",
//	    "results": [AllocationResult], "error": str, "milliseconds": float}
//
// Without "features" those of Kubernetes 1.37 are on; with it, those that it names. Share IDs in results are random.
//
// kind "cel" compiles one device selector and evaluates it for devices of one driver:
//
//	{"id": any, "kind": "cel", "expression": str, "driver": str, "devices": [Device], "features": {...}}
//	-> {"id": any, "outcome": "ok" | "compile-error", "error": str, "maxCost": int,
//	    "answers": [{"match": bool, "cost": int} | {"error": str}]}
//
// A line that is no case is answered by {"outcome": "bad-case", "error": str}; a case that would have brought the
// scheduler down, by outcome "panic".
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
)

type question struct {
	ID              any                          `json:"id"`
	Kind            string                       `json:"kind"`
	Node            *v1.Node                     `json:"node"`
	Claims          []*resourceapi.ResourceClaim `json:"claims"`
	Classes         classes                      `json:"classes"`
	Slices          []*resourceapi.ResourceSlice `json:"slices"`
	AllocatedClaims []*resourceapi.ResourceClaim `json:"allocatedClaims"`
	Features        *structured.Features         `json:"features"`
	TimeoutSeconds  float64                      `json:"timeoutSeconds"`
	Expression      string                       `json:"expression"`
	Driver          string                       `json:"driver"`
	Devices         []resourceapi.Device         `json:"devices"`
}

type answer struct {
	ID           any                            `json:"id"`
	Outcome      string                         `json:"outcome"`
	Error        string                         `json:"error,omitempty"`
	Results      []resourceapi.AllocationResult `json:"results,omitempty"`
	Milliseconds float64                        `json:"milliseconds,omitempty"`
	MaxCost      *uint64                        `json:"maxCost,omitempty"`
	Answers      []verdict                      `json:"answers,omitempty"`
}

type verdict struct {
	Match *bool   `json:"match,omitempty"`
	Cost  *uint64 `json:"cost,omitempty"`
	Error string  `json:"error,omitempty"`
}

// Turned on by default in Kubernetes 1.37.
var defaults = structured.Features{
	AdminAccess: true, PrioritizedList: true, PartitionableDevices: true, DeviceTaints: true,
	DeviceBindingAndStatus: true, ConsumableCapacity: true, FractionalCapacityRange: true,
}

type classes []*resourceapi.DeviceClass

func (c classes) List() ([]*resourceapi.DeviceClass, error) { return c, nil }

func (c classes) Get(name string) (*resourceapi.DeviceClass, error) {
	for _, class := range c {
		if class.Name == name {
			return class, nil
		}
	}
	return nil, fmt.Errorf("deviceclass %q not found", name)
}

// inUse is what kube-scheduler's allocated-state tracker makes of the claims: shares count as shares only while
// consumable capacity is on, and admin access leaves no trace.
func inUse(claims []*resourceapi.ResourceClaim, shares bool) structured.AllocatedState {
	state := structured.AllocatedState{
		AllocatedDevices:         sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity:       structured.NewConsumedCapacityCollection(),
	}
	for _, claim := range claims {
		if claim.Status.Allocation == nil {
			continue
		}
		for _, result := range claim.Status.Allocation.Devices.Results {
			device := structured.MakeDeviceID(result.Driver, result.Pool, result.Device)
			switch {
			case result.AdminAccess != nil && *result.AdminAccess:
			case result.ShareID == nil || !shares:
				state.AllocatedDevices.Insert(device)
			default:
				state.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(device, result.ShareID))
				if result.ConsumedCapacity != nil {
					state.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(device, result.ConsumedCapacity))
				}
			}
		}
	}
	return state
}

// Compiled expressions outlive a case: scheduler processes keep them too, and cases repeat them.
var compiled = map[cel.Features]*cel.Cache{}

func celFeatures(f structured.Features) cel.Features {
	return cel.Features{EnableConsumableCapacity: f.ConsumableCapacity, EnableListTypeAttributes: f.ListTypeAttributes}
}

func cacheFor(f structured.Features) *cel.Cache {
	features := celFeatures(f)
	if compiled[features] == nil {
		compiled[features] = cel.NewCache(10_000, features)
	}
	return compiled[features]
}

func allocate(q question, f structured.Features) (a answer) {
	ctx := context.Background()
	if q.TimeoutSeconds > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(q.TimeoutSeconds*float64(time.Second)))
		defer cancel()
		ctx = limited
	}
	start := time.Now()
	var results []resourceapi.AllocationResult
	allocator, err := structured.NewAllocator(ctx, f, inUse(q.AllocatedClaims, f.ConsumableCapacity), q.Classes, q.Slices, cacheFor(f))
	if err == nil {
		results, err = allocator.Allocate(ctx, q.Node, q.Claims)
	}
	a.Milliseconds = float64(time.Since(start).Microseconds()) / 1000
	switch {
	case err == nil && len(results) == len(q.Claims):
		a.Outcome, a.Results = "ok", results
	case err == nil:
		a.Outcome = "nofit"
	case errors.Is(err, context.DeadlineExceeded):
		a.Outcome = "timeout"
	case errors.Is(err, structured.ErrFailedAllocationOnNode):
		a.Outcome = "node-error"
	default:
		a.Outcome = "fatal"
	}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

func evaluate(q question, f structured.Features) answer {
	expression := cel.GetCompiler(celFeatures(f)).CompileCELExpression(q.Expression, cel.Options{})
	if expression.Error != nil {
		return answer{Outcome: "compile-error", Error: expression.Error.Error()}
	}
	a := answer{Outcome: "ok", MaxCost: &expression.MaxCost, Answers: []verdict{}}
	for _, d := range q.Devices {
		device := cel.Device{Driver: q.Driver, AllowMultipleAllocations: d.AllowMultipleAllocations, Attributes: d.Attributes, Capacity: d.Capacity}
		match, details, err := expression.DeviceMatches(context.Background(), device)
		one := verdict{Match: &match}
		if err != nil {
			one = verdict{Error: err.Error()}
		} else if details != nil {
			one.Cost = details.ActualCost()
		}
		a.Answers = append(a.Answers, one)
	}
	return a
}

func respond(line []byte) (a answer) {
	var q question
	defer func() {
		if reason := recover(); reason != nil {
			a = answer{Outcome: "panic", Error: fmt.Sprint(reason)}
		}
		a.ID = q.ID
	}()
	if err := json.Unmarshal(line, &q); err != nil {
		return answer{Outcome: "bad-case", Error: err.Error()}
	}
	f := defaults
	if q.Features != nil {
		f = *q.Features
	}
	switch {
	case q.Kind == "cel":
		return evaluate(q, f)
	case q.Kind != "" && q.Kind != "allocate":
		return answer{Outcome: "bad-case", Error: "unknown kind " + q.Kind}
	case q.Node == nil:
		return answer{Outcome: "bad-case", Error: "a case of kind allocate needs a node"}
	}
	return allocate(q, f)
}

func run() error {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<28)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		if len(in.Bytes()) == 0 {
			continue
		}
		if err := out.Encode(respond(in.Bytes())); err != nil {
			return err
		}
	}
	return in.Err()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
