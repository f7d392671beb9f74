"""Steps and tasks on a cluster: what their documents mean in pods, and what those pods need; pure.

documents --PodLayout--> documents with places in pods, Provision --resolve--> ClusterRun, TaskRun
"""
