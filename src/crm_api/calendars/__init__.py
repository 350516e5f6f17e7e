"""Business calendars: working hours, days that differ, and the due times that follow from them."""
