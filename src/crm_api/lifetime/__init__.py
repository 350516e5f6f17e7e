"""Models of purchases to come: BG/NBD and Gamma-Gamma."""
