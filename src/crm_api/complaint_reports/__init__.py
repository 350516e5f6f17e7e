"""Statistics of complaints and of what was given for them."""
