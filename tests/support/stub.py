"""The stub benchmark as tests ask for it: its words, settings of its size, and the grid they compare with."""

from __future__ import annotations

WORDS = (
    "Question: Answer: Where does What live do eat ? I can't answer the question.",
    "Ada Bo Cleo Dan Eve Finn Gus Hana Oslo Rome Lima Bonn Kiev Bern Nice York Paris",
    "baker sailor tailor judge nurse miner poet guard bread soup rice corn plums figs eggs cheese",
)
TOWNS = ["Oslo", "Rome", "Lima", "Bonn", "Kiev", "Bern", "Nice", "York"]

SETTINGS = {
    "gd": {"epochs": 3, "batch_size": 4, "learning_rates": "1e-4,1e-2"},
    "refusal": {"epochs": 3, "batch_size": 4, "learning_rates": "1e-2"},
    "sick": {"epochs": 1, "batch_size": 4, "learning_rates": "1e-3"},
    "private-data": {"steps": 4, "checkpoints": "2,4", "learning_rates": "1e-2"},
    "instruction": {"steps": 4, "checkpoints": "2,4", "learning_rates": "1e-2,1e-3", "items": 6},
}
"""So little that a cell takes a few hundredths of a second."""

GRID = ("gd", "private-data,instruction,nudge", "stub")
"""Methods, attacks and benchmark of the run that several tests compare with: with controls and two seeds,
6 unlearned models and 48 cells."""
