"""Churn warnings with reasons."""
