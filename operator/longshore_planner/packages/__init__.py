"""Packages of Environments: requirement lines and conda files in, one normalised `PackageSet` out.

`freeze` converts the `spec.packages` of an Environment; `curated` knows the environments that Azure ML provides. All is
pure: nothing is resolved, downloaded or installed here. Which conda package is which package of PyPI is data, in
`conda_names.toml`; so are Azure ML's environments, in `curated.toml`.
"""
