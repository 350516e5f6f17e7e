"""Rewards: what points can be spent on, with stock and limits, and how a redemption goes from wish to hand-over."""
