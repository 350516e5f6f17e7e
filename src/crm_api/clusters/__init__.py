"""Groups found by k-means, each a segment with a profile in words."""
