"""What a run leaves: the columns of its tables, how they are worked out, and the folder that holds them."""
