"""Access to what closes a case: settings, tellings, ratings, corrective actions."""
