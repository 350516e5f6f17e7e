"""Reports on loyalty: who takes part, what points cost, what is owed, how tiers moved. Nothing is stored."""
