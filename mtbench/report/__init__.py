"""Reports on finished runs: tables for the terminal and for papers, and the pages of the site."""
