"""Feature extraction from stimuli, and principal components of features."""
