"""Results on disk, named by what made them."""
