"""The site's templates, which travel inside the wheel as ``mtbench.leaderboard``."""
