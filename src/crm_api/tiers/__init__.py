"""Tiers of a loyalty programme: a pure function of history, rules and overrides, followed as things happen."""
