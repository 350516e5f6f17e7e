"""What a customer's purchases say: favourites, cycle, what comes next, what is bought together."""
