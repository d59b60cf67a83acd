"""Everything but devices: the nodes that kube-scheduler's own filter plugins find for a pod, and those of Dovetail."""
