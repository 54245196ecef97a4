"""Hints for command lines that cannot be read, where the usual words for an option are not ours."""

import re
from typing import Any

from typer.core import TyperCommand

# Options that other tools have, and what they are called here.
MEANT = {
    "--n": "-n",
    "--num": "-n",
    "--num-samples": "-n",
    "--samples": "-n",
    "--limit": "-n",
    "--count": "-n",
    "--model": "--models",
    "--lambda": "--transition-lambda",
    "--embeddings": "--embedding",
    "--output": "--out",
    "-o": "--out",
    "--gpu": "--device cuda",
    "--json": "--format json",
}


class Command(TyperCommand):
    """A command whose usage errors suggest what was probably meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # Typer's own exceptions, wherever this version of it keeps them.
            if hint := self._hint(error, ctx):
                message = str(getattr(error, "message", error)).rstrip(".")
                error.message = f"{message}. {hint}"  # type: ignore[attr-defined]
                error.possibilities = None  # type: ignore[attr-defined]
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage without the braces that Typer puts around required arguments, which look like a choice."""
        return [re.sub(r"[{}]", "", piece) for piece in super().collect_usage_pieces(ctx)]

    def _hint(self, error: Exception, ctx: Any) -> str:
        options = {name for parameter in self.params for name in parameter.opts}
        meant = MEANT.get(getattr(error, "option_name", ""), "")
        if meant.split(" ")[0] in options:
            return f"Did you mean '{meant}'?"
        message = str(getattr(error, "message", ""))
        if "unexpected extra argument" in message and "--models" in options:
            extra = message.rpartition("(")[2].partition(")")[0].replace(" ", ",")
            return f"Models are named with --models: {ctx.command_path} --models {extra}"
        return ""
