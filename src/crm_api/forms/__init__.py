"""Capture forms: what a visitor fills in on the shop's page becomes a customer, an interaction and a consent."""
