"""Purchase patterns: what a customer tends to buy, when next, at what price, and what is bought together."""
