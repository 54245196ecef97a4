"""The leaderboard site: static files built from run folders and ``results/`` that open from disk and load nothing else.

Data flow in one direction: `sources` reads the results; `board`, `models`, `lengths`, `sensitivity` and `listening`
select and compute; `figures` draws; `pages` fills the templates of ``leaderboard/``; `folder` writes the files. The
same results give the same bytes: no clock and no random numbers are used.

Metrics: Fréchet audio distance (FAD), inner-track rhythmic stability (IRS), cross-track beat synchronization (CBS) and
cross-track beat dispersion (CBD).
"""

from mtbench.report.site.pages import write

__all__ = ["write"]
