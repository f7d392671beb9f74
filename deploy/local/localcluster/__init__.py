"""A real single-node Kubernetes on this machine, for tests and demos; nothing in it is for production.

etcd, the control plane, containerd, kubelet and kube-proxy are processes of a Linux namespace of their own: process
ids, mounts and network are apart from the machine's. So one signal to the namespace's first process ends all of it,
containers included, and takes every mount, bridge and packet filter rule along; two checkouts can each have theirs.
Standard library only, but for `install`: it must run before anything is installed.

    __main__      the command
    cluster       up, down, what is there
    places        paths of a cluster's files, and the record of the running cluster
    processes     which process is ours, and running others
    sandbox       the namespace: network to the machine, cgroups
    keeper        the namespace's first process: keeps the components running
    components    command lines and configuration of the components (pure)
    pki           certificates and kubeconfigs
    api           the few calls to the API server that are needed here
    audit         calls of the API server, from its audit log
    names         DNS for pods: the answers come from the API server
    machine       programs from Debian's packages
    binaries      the Kubernetes binaries: found, or built from Debian's source package
    crd_server    the newest server of custom resources: found, or built from Debian's packages
    apt           Debian's archives, read without the machine's own apt state
    releases      what differs between releases of Kubernetes (pure)
    install       Longshore in the cluster, by its chart
    demo          the digits example in the cluster
    images        images: built without a container engine, loaded into the cluster
"""
