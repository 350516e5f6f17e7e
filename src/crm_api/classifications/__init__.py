"""Ready-made classifications: RFM, grade, lifecycle and other dimensions; the runs that score everybody."""
