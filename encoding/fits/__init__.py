"""What one fit is: its spec, plan, targets, training data, resources and result."""
