"""The shop with one of everything is made in tests/bad_input."""

from tests.bad_input.conftest import shop

__all__ = ["shop"]
