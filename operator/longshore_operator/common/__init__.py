"""What the kinds share: actions, values, conditions, node pools, references."""
