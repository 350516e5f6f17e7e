"""Consent: who agreed to what, by which words, and whether something may be sent."""
