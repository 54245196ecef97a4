"""The leaderboard site: plain files from run folders and ``results/``, which open from disk and load nothing else.

One way through: `sources` reads; `board`, `models`, `lengths`, `sensitivity` and `listening` choose and compute;
`figures` draws; `pages` lays it out in the templates of ``leaderboard/``; and `folder` writes. The same results make
the same bytes: no clock, no random number.
"""

from mtbench.report.site.pages import write

__all__ = ["write"]
