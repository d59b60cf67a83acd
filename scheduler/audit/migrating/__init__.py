"""Rewrites manifests for Dynamic Resource Allocation, one splice at a time: what is not changed stays as it is.

edits        changes of a tree, applied to the text it came from
versions     objects of older resource.k8s.io versions, into v1
workloads    pods that ask device plugins, into claims
classes      the DeviceClasses that drivers bring, where the manifests lack them
migration    files in, files out; what needs a human is refused with its reason
patches      the same changes as JSON patches of a kustomize component
command      `dovetail migrate`
"""
