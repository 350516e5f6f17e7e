"""Customers whom their owner has not spoken with for longer than their class asks for."""
