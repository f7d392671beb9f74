"""What is to be done: documents, parameters, the resolved job, the status.

Everything in here is pure: values in, values out, time passed in. The one exception is `documents`, which reads YAML
files (and alone imports yaml). The local run and the operator drive the same functions.
"""
