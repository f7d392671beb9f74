"""ComputeClusters: keep minNodes and idle nodes by placeholder pods."""
