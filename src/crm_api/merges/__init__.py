"""One person who was stored twice becomes one customer, and two again when that was wrong."""
