"""``python -m mtbench.cli``."""

from mtbench.cli import main

if __name__ == "__main__":
    main()
