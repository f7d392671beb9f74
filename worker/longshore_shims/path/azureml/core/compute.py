"""Names that can be imported, and say what to do instead when they are used."""

from longshore_shims.absent import absent_names

__getattr__ = absent_names(__name__, "AmlCompute", "ComputeTarget")
