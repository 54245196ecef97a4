"""Convert music that a user has into folders that a suite reads."""
