"""What people look at: terminal, README, page, pictures."""
