// Command plain answers which nodes a pod may run on, with kube-scheduler's own filter plugins.
//
// One JSON case a line on stdin, one JSON answer a line on stdout, in the same order. A case is a cluster and the pods
// that are asked about, each of them alone:
//
//	{"id": any, "nodes": [Node], "pods": [Pod], "namespaces": [Namespace], "persistentVolumeClaims": [...],
//	 "persistentVolumes": [...], "storageClasses": [...], "csiNodes": [...], "csiDrivers": [...],
//	 "csiStorageCapacities": [...], "volumeAttachments": [...], "asked": [Pod]}
//	-> {"id": any, "outcome": "ok", "answers": [{"feasible": [node name], "rejected": {plugin: {node name: code}}}],
//	    "named": {namespace/name: [node name]}, "stored": the case}
//
// The objects are first made what the API server keeps of them (store.go), and come back so; a case with an object that
// it would refuse is a bad one.
//
// Every plugin is run by itself on every node, as kube-scheduler runs it: PreFilter once, Filter twice where pods are
// nominated to the node. "feasible" are the nodes that pass when all run together. Codes are those of the framework:
// Unschedulable, UnschedulableAndUnresolvable, Error. Feature gates and plugin arguments are the defaults.
//
// With "scored": true each answer has "scores" too: {plugin: {node name: 0 to 100}} of the nodes that are feasible, as the
// score plugins of the default profile give them, normalized and not weighted.
//
// Of "pods" those with a nodeName run, unless they have ended; those with a nominatedNodeName are nominated. "named" says
// of those that run which nodes NodeName keeps them off.
//
// A line that is no case is answered by {"outcome": "bad-case", "error": str}; a case that would have brought the
// scheduler down, by outcome "panic".
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"

	"github.com/go-logr/logr"
	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	schedulercache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

type question struct {
	ID                     any                             `json:"id"`
	Nodes                  []*v1.Node                      `json:"nodes"`
	Pods                   []*v1.Pod                       `json:"pods"`
	Namespaces             []*v1.Namespace                 `json:"namespaces"`
	PersistentVolumeClaims []*v1.PersistentVolumeClaim     `json:"persistentVolumeClaims"`
	PersistentVolumes      []*v1.PersistentVolume          `json:"persistentVolumes"`
	StorageClasses         []*storagev1.StorageClass       `json:"storageClasses"`
	CSINodes               []*storagev1.CSINode            `json:"csiNodes"`
	CSIDrivers             []*storagev1.CSIDriver          `json:"csiDrivers"`
	CSIStorageCapacities   []*storagev1.CSIStorageCapacity `json:"csiStorageCapacities"`
	VolumeAttachments      []*storagev1.VolumeAttachment   `json:"volumeAttachments"`
	Asked                  []*v1.Pod                       `json:"asked"`
	Scored                 bool                            `json:"scored"`
}

type answer struct {
	ID      any                 `json:"id"`
	Outcome string              `json:"outcome"`
	Error   string              `json:"error,omitempty"`
	Answers []verdict           `json:"answers,omitempty"`
	Named   map[string][]string `json:"named,omitempty"`
	Stored  json.RawMessage     `json:"stored,omitempty"`
}

type verdict struct {
	Feasible []string                     `json:"feasible"`
	Rejected map[string]map[string]string `json:"rejected"`
	Scores   map[string]map[string]int64  `json:"scores,omitempty"`
}

// The plugins of the default profile that filter nodes, in its order, but for DynamicResources.
var filters = []string{
	names.NodeName, names.NodeUnschedulable, names.TaintToleration, names.NodeAffinity, names.NodePorts,
	names.NodeResourcesFit, names.VolumeRestrictions, names.NodeVolumeLimits, names.VolumeBinding, names.VolumeZone,
	names.PodTopologySpread, names.InterPodAffinity, names.NodeDeclaredFeatures,
}

// current is the cluster of the case in hand. Plugins keep the lister that they are made with, so what it lists changes.
type current struct {
	*schedulercache.Snapshot
	nominated map[string][]fwk.PodInfo
}

func (c *current) NominatedPodsForNode(node string) []fwk.PodInfo { return c.nominated[node] }

func (c *current) AddNominatedPod(klog.Logger, fwk.PodInfo, *fwk.NominatingInfo) {}

func (c *current) DeleteNominatedPodIfExists(*v1.Pod) {}

func (c *current) UpdateNominatedPod(klog.Logger, *v1.Pod, fwk.PodInfo) {}

// Plugins that are left out because another one is asked about.
var others = func() map[string]sets.Set[string] {
	found := map[string]sets.Set[string]{}
	for _, name := range filters {
		found[name] = sets.New(filters...).Delete(name)
	}
	return found
}()

type scheduler struct {
	cluster   *current
	framework framework.Framework
	preFilter map[string]fwk.PreFilterPlugin
	informers informers.SharedInformerFactory
}

func newScheduler(ctx context.Context) (*scheduler, error) {
	metrics.Register()
	defaults, err := latest.Default()
	if err != nil {
		return nil, err
	}
	s := &scheduler{
		cluster:   &current{Snapshot: schedulercache.NewEmptySnapshot()},
		preFilter: map[string]fwk.PreFilterPlugin{},
		informers: informers.NewSharedInformerFactory(fake.NewSimpleClientset(), 0),
	}
	profile := defaults.Profiles[0]
	wanted := sets.New(filters...).Insert(names.PrioritySort, names.DefaultBinder)
	wanted.Insert(names.NodeResourcesBalancedAllocation, names.ImageLocality)
	profile.Plugins = &config.Plugins{}
	for name := range wanted {
		profile.Plugins.MultiPoint.Enabled = append(profile.Plugins.MultiPoint.Enabled, config.Plugin{Name: name})
	}
	registry := frameworkruntime.Registry{}
	for name, factory := range plugins.NewInTreeRegistry() {
		registry[name] = func(ctx context.Context, arguments runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
			made, err := factory(ctx, arguments, handle)
			if plugin, ok := made.(fwk.PreFilterPlugin); ok {
				s.preFilter[name] = plugin
			}
			return made, err
		}
	}
	s.framework, err = frameworkruntime.NewFramework(ctx, registry, &profile,
		frameworkruntime.WithInformerFactory(s.informers),
		frameworkruntime.WithSnapshotSharedLister(s.cluster),
		frameworkruntime.WithPodNominator(s.cluster),
		frameworkruntime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(s.informers.Storage().V1().CSINodes().Lister())),
	)
	return s, err
}

// load puts the cluster of a case in place of the last one. Informers are filled by hand: nothing of a case changes.
func (s *scheduler) load(ctx context.Context, q *question) error {
	core, storage := s.informers.Core().V1(), s.informers.Storage().V1()
	for _, err := range []error{
		fill(core.Nodes().Informer(), q.Nodes), fill(core.Pods().Informer(), q.Pods),
		fill(core.Namespaces().Informer(), q.Namespaces),
		fill(core.PersistentVolumeClaims().Informer(), q.PersistentVolumeClaims),
		fill(core.PersistentVolumes().Informer(), q.PersistentVolumes),
		fill(storage.StorageClasses().Informer(), q.StorageClasses),
		fill(storage.CSINodes().Informer(), q.CSINodes), fill(storage.CSIDrivers().Informer(), q.CSIDrivers),
		fill(storage.CSIStorageCapacities().Informer(), q.CSIStorageCapacities),
		fill(storage.VolumeAttachments().Informer(), q.VolumeAttachments),
	} {
		if err != nil {
			return err
		}
	}
	logger := klog.FromContext(ctx)
	known := schedulercache.New(ctx, nil, false, false)
	nominated := map[string][]fwk.PodInfo{}
	for _, node := range q.Nodes {
		known.AddNode(logger, node)
	}
	for _, pod := range q.Pods {
		switch {
		case ended(pod): // its informer does not list them
		case pod.Spec.NodeName != "":
			if err := known.AddPod(logger, pod); err != nil {
				return err
			}
		case pod.Status.NominatedNodeName != "":
			info, err := framework.NewPodInfo(pod)
			if err != nil {
				return err
			}
			nominated[pod.Status.NominatedNodeName] = append(nominated[pod.Status.NominatedNodeName], info)
		}
	}
	s.cluster.Snapshot, s.cluster.nominated = schedulercache.NewEmptySnapshot(), nominated
	return known.UpdateSnapshot(logger, s.cluster.Snapshot)
}

func ended(pod *v1.Pod) bool {
	return pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed
}

func fill[T any](informer cache.SharedIndexInformer, items []T) error {
	found := make([]any, len(items))
	for i, item := range items {
		found[i] = item
	}
	return informer.GetIndexer().Replace(found, "")
}

// rejected are the codes of the nodes that one plugin keeps a pod off.
func (s *scheduler) rejected(ctx context.Context, name string, pod *v1.Pod, nodes []fwk.NodeInfo) map[string]string {
	state := framework.NewCycleState()
	skipped := others[name]
	found := map[string]string{}
	var allowed *fwk.PreFilterResult
	if plugin, ok := s.preFilter[name]; ok {
		result, status := plugin.PreFilter(ctx, state, pod, nodes)
		switch {
		case status.IsSkip():
			skipped = sets.New(filters...)
		case !status.IsSuccess():
			for _, node := range nodes {
				found[node.Node().Name] = status.Code().String()
			}
			return found
		}
		allowed = result
	}
	state.SetSkipFilterPlugins(skipped)
	for _, node := range nodes {
		if !allowed.AllNodes() && !allowed.NodeNames.Has(node.Node().Name) {
			found[node.Node().Name] = fwk.UnschedulableAndUnresolvable.String()
		} else if status := s.framework.RunFilterPluginsWithNominatedPods(ctx, state, pod, node); !status.IsSuccess() {
			found[node.Node().Name] = status.Code().String()
		}
	}
	return found
}

// feasible are the nodes that pass all plugins together.
func (s *scheduler) feasible(ctx context.Context, pod *v1.Pod, nodes []fwk.NodeInfo) []string {
	found := []string{}
	state := framework.NewCycleState()
	allowed, status, _ := s.framework.RunPreFilterPlugins(ctx, state, pod)
	if !status.IsSuccess() {
		return found
	}
	for _, node := range nodes {
		name := node.Node().Name
		if !allowed.AllNodes() && !allowed.NodeNames.Has(name) {
			continue
		}
		if s.framework.RunFilterPluginsWithNominatedPods(ctx, state, pod, node).IsSuccess() {
			found = append(found, name)
		}
	}
	sort.Strings(found)
	return found
}

func (s *scheduler) answer(ctx context.Context, q *question) answer {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.load(ctx, q); err != nil {
		return answer{Outcome: "bad-case", Error: err.Error()}
	}
	nodes, err := s.cluster.NodeInfos().List()
	if err != nil {
		return answer{Outcome: "bad-case", Error: err.Error()}
	}
	a := answer{Outcome: "ok", Named: map[string][]string{}}
	for _, pod := range q.Pods {
		if pod.Spec.NodeName != "" && !ended(pod) {
			found := sets.List(sets.KeySet(s.rejected(ctx, names.NodeName, pod, nodes)))
			a.Named[pod.Namespace+"/"+pod.Name] = found
		}
	}
	for _, pod := range q.Asked {
		rejected := map[string]map[string]string{}
		for _, name := range filters {
			if found := s.rejected(ctx, name, pod, nodes); len(found) > 0 {
				rejected[name] = found
			}
		}
		found := verdict{Feasible: s.feasible(ctx, pod, nodes), Rejected: rejected}
		if q.Scored {
			if found.Scores, err = s.scores(ctx, pod, nodes, sets.New(found.Feasible...)); err != nil {
				return answer{Outcome: "bad-case", Error: err.Error()}
			}
		}
		a.Answers = append(a.Answers, found)
	}
	return a
}

// scores are what the score plugins say of the nodes that passed.
func (s *scheduler) scores(
	ctx context.Context, pod *v1.Pod, nodes []fwk.NodeInfo, passed sets.Set[string],
) (map[string]map[string]int64, error) {
	left := []fwk.NodeInfo{}
	for _, node := range nodes {
		if passed.Has(node.Node().Name) {
			left = append(left, node)
		}
	}
	state := framework.NewCycleState()
	if _, status, _ := s.framework.RunPreFilterPlugins(ctx, state, pod); !status.IsSuccess() {
		return nil, nil
	}
	for _, node := range left { // the score of VolumeBinding is about the volumes that its filter found
		if status := s.framework.RunFilterPluginsWithNominatedPods(ctx, state, pod, node); !status.IsSuccess() {
			return nil, status.AsError()
		}
	}
	if status := s.framework.RunPreScorePlugins(ctx, state, pod, left); !status.IsSuccess() {
		return nil, status.AsError()
	}
	scored, status := s.framework.RunScorePlugins(ctx, state, pod, left)
	if !status.IsSuccess() {
		return nil, status.AsError()
	}
	found := map[string]map[string]int64{}
	for _, node := range scored {
		for _, score := range node.Scores {
			if found[score.Name] == nil {
				found[score.Name] = map[string]int64{}
			}
			found[score.Name][node.Name] = score.Score
		}
	}
	return found, nil
}

func (s *scheduler) respond(ctx context.Context, line []byte) (a answer) {
	var q question
	defer func() {
		if reason := recover(); reason != nil {
			a = answer{Outcome: "panic", Error: fmt.Sprint(reason)}
		}
		a.ID = q.ID
	}()
	kept, err := stored(line)
	if err == nil {
		err = json.Unmarshal(kept, &q)
	}
	if err != nil {
		return answer{Outcome: "bad-case", Error: err.Error()}
	}
	a = s.answer(ctx, &q)
	a.Stored = kept
	return a
}

func run() error {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	ctx := klog.NewContext(context.Background(), logr.Discard())
	s, err := newScheduler(ctx)
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<28)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		if len(in.Bytes()) == 0 {
			continue
		}
		if err := out.Encode(s.respond(ctx, in.Bytes())); err != nil {
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
