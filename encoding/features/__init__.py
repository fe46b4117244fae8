"""Images to activations to components."""
