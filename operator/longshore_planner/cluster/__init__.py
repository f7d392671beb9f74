"""Resolution of steps for clusters: locations inside pods, and the requirements of these pods. Pure.

documents --PodLayout--> documents with locations in pods, PodRequirements --resolve--> ClusterRun, TaskRun
"""
