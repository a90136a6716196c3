"""Wording: what every text for people writes in one way."""


def counted(number: int, noun: str) -> str:
    """Write a number of things: `1 flow`, `2,000 flows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
