"""Waiting before a lost race is run again."""

import asyncio
import secrets

_random = secrets.SystemRandom()


async def backoff(attempt: int) -> None:
    """Sleep 5 ms, 10 ms, 20 ms … with full jitter, so that rivals do not meet again."""
    await asyncio.sleep(_random.uniform(0, 0.005 * 2**attempt))
