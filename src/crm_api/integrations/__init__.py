"""Inbound webhooks: verified, stored, acknowledged, processed later, replayable."""
