"""The templates of the site, packaged in the wheel as ``mtbench.leaderboard``."""
