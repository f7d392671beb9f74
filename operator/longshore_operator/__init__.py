"""The operator: custom resources in, pods and statuses out.

    watch: store, keys -> work queue -> loop: observe -> decide (pure) -> actions -> status, once -> events -> after

Each kind of resource has a folder with its controller: steps, tasks, pipelines, pipeline_runs, compute_clusters. Only
`watch` and `process` import kopf; only `cluster` (calls) and `manifests` (models) import the Kubernetes client.
Everything is level-triggered: a reconcile needs no memory of earlier ones, so an operator that is killed at any point
and started again comes to the same result.
"""
