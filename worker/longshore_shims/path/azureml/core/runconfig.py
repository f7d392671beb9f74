"""Names that can be imported but raise an error with an alternative when used."""

from longshore_shims.absent import absent_names

__getattr__ = absent_names(
    __name__, "DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "CondaDependencies", "DockerSection", "RunConfiguration"
)
