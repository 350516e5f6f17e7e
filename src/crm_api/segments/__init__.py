"""Segments by rule, RFM and lifecycle scores."""
