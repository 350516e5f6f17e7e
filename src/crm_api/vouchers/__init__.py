"""Vouchers: campaigns of codes, validated, locked for a checkout, redeemed for an order, rolled back."""
