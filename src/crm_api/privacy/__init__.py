"""What a person may ask of the shop about their own data: a copy of it, and its erasure."""
