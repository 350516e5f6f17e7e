"""Earning rules: what customers get points for, and how many."""
