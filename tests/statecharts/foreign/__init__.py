"""Charts in the styles that python-statemachine offers, as other people write them: the tools must read all of them.

Every piece of code in them notes that it ran. Reading, drawing and walking a chart runs none of it, which the tests check.
"""

RAN: list[str] = []


def ran(what: str) -> bool:
    """Note that code of a chart ran."""
    RAN.append(what)
    return True
