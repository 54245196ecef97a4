"""The results of a run: the columns of its tables, their computation, and the folder that contains them."""
