"""Attributes: the fields a shop adds to its customers, typed, checked on write, usable in rules, filters and orders."""
