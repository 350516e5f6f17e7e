"""Churn warning: indicators against a customer's own past and peers, levels with reasons, alerts, back-tests."""
