"""Ready-made classes of customers with thresholds of the shop's own, and the log of moves between them."""
