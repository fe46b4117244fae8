"""One fit: specification, plan, target groups, training data, resource estimate and result."""
