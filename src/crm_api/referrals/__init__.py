"""Customers who bring their friends, and what both get for it."""
