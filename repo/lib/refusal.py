"""How a verb says no, and how it is ended."""


class Refusal(Exception):
    """One sentence: what is wrong, where, and what to do. Becomes exit code 2 without a traceback."""


class Ended(SystemExit):
    """By SIGTERM, or by SIGHUP when the terminal was closed: unlike a `sys.exit` in a team's file."""


def described(error: BaseException) -> str:
    """What a team's file brought up, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
