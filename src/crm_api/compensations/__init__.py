"""Compensations of complaints: proposed, approved within limits, paid through the ledger once, taken back."""
