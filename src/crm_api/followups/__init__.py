"""Follow-ups: plans of whom to contact how often, the tasks they make, what became of them."""
