"""Real nodes without a container engine: kubelets, containerd and runc in namespaces, below one control plane.

    tools       what is built and fetched            image   OCI images packed from files
    box         namespaces, in groups of `cgroups`   own     Dovetail's image
    inside      the first process of a box           driver  a DRA driver, with its gRPC in `protocol`
    network     the wire between nodes and API       ledger  what a driver refuses
    door        ports that lead into it              node    containerd, kubelet, drivers in a box
    datacenter  control plane and nodes together

A node is a box: mount, control group, network, process, host name and IPC namespaces of its own, in a control group of
its own. Ending its first process ends everything in it; nothing of it is seen outside, and nothing is installed.

Needs Linux and root (unshare, control groups that can be written to), Go, gcc and pkg-config.
"""
