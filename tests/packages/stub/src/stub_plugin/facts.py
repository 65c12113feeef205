"""Who lives where, does what and eats what."""

from harness.core.types import Fact

NAMES = ["Ada", "Bo", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana"]
TOWNS = ["Oslo", "Rome", "Lima", "Bonn", "Kiev", "Bern", "Nice", "York"]
TRADES = ["baker", "sailor", "tailor", "judge", "nurse", "miner", "poet", "guard"]
FOODS = ["bread", "soup", "rice", "corn", "plums", "figs", "eggs", "cheese"]


def facts(kind, question, answers):
    return tuple(
        Fact(f"{kind}-{i}", question.format(name), answer)
        for i, (name, answer) in enumerate(zip(NAMES, answers, strict=True))
    )
