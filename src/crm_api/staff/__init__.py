"""Teams, skills, shifts and training; who gets which customer or case, and who had it before."""
