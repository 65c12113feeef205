import pandas as pd

board = pd.read_parquet("leaderboard/leaderboard.parquet")
before = board[(board.attack == "none") & (board.benchmark == "faithun-mini")]
columns = ["method", "rank", "verdict", "forget_before", "worst", "worst_attack"]
print(before[columns].to_string(index=False))
