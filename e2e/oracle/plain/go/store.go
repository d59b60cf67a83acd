package main

import (
	"context"
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/apis/storage"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/storage/csidriver"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"
	"k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
)

// A kind as the API server serves and keeps it.
type kind struct {
	versioned, internal func() runtime.Object
	strategy            rest.RESTCreateStrategy
}

func made[T any, P interface {
	*T
	runtime.Object
}]() runtime.Object {
	return P(new(T))
}

// What may be in a case, by the field it is in.
var kinds = map[string]kind{
	"nodes":                  {made[v1.Node], made[core.Node], node.Strategy},
	"pods":                   {made[v1.Pod], made[core.Pod], pod.Strategy},
	"asked":                  {made[v1.Pod], made[core.Pod], pod.Strategy},
	"namespaces":             {made[v1.Namespace], made[core.Namespace], namespace.Strategy},
	"persistentVolumeClaims": {made[v1.PersistentVolumeClaim], made[core.PersistentVolumeClaim], persistentvolumeclaim.Strategy},
	"persistentVolumes":      {made[v1.PersistentVolume], made[core.PersistentVolume], persistentvolume.Strategy},
	"storageClasses":         {made[storagev1.StorageClass], made[storage.StorageClass], storageclass.Strategy},
	"csiNodes":               {made[storagev1.CSINode], made[storage.CSINode], csinode.Strategy},
	"csiDrivers":             {made[storagev1.CSIDriver], made[storage.CSIDriver], csidriver.Strategy},
	"csiStorageCapacities":   {made[storagev1.CSIStorageCapacity], made[storage.CSIStorageCapacity], csistoragecapacity.Strategy},
	"volumeAttachments":      {made[storagev1.VolumeAttachment], made[storage.VolumeAttachment], volumeattachment.Strategy},
}

type object = map[string]json.RawMessage

// stored is a case as the API server keeps it when its objects are created: with its defaults, and what it merges and
// drops. Metadata and status, which it would set by itself, are kept. An object that it would refuse is an error.
func stored(line []byte) (json.RawMessage, error) {
	var whole object
	if err := json.Unmarshal(line, &whole); err != nil {
		return nil, err
	}
	for field, known := range kinds {
		var items []object
		if whole[field] == nil {
			continue
		}
		if err := json.Unmarshal(whole[field], &items); err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
		for i, item := range items {
			kept, err := known.store(item)
			if err != nil {
				return nil, fmt.Errorf("%s[%d] %s: %w", field, i, item["metadata"], err)
			}
			items[i] = kept
		}
		text, err := json.Marshal(items)
		if err != nil {
			return nil, err
		}
		whole[field] = text
	}
	return json.Marshal(whole)
}

func (k kind) store(item object) (object, error) {
	text, err := json.Marshal(item)
	if err != nil {
		return nil, err
	}
	versioned, internal := k.versioned(), k.internal()
	if err := json.Unmarshal(text, versioned); err != nil {
		return nil, err
	}
	legacyscheme.Scheme.Default(versioned)
	if err := legacyscheme.Scheme.Convert(versioned, internal, nil); err != nil {
		return nil, err
	}
	ctx := context.Background()
	k.strategy.PrepareForCreate(ctx, internal)
	if errs := k.strategy.Validate(ctx, internal); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	k.strategy.Canonicalize(internal)
	versioned = k.versioned()
	if err := legacyscheme.Scheme.Convert(internal, versioned, nil); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(versioned); err != nil {
		return nil, err
	}
	var kept object
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, err
	}
	for _, field := range []string{"metadata", "status"} {
		delete(kept, field)
		if item[field] != nil {
			kept[field] = item[field]
		}
	}
	return kept, nil
}
