import pandas as pd

board = pd.read_parquet("leaderboard/leaderboard.parquet")
before = board[(board.attack == "none") & (board.benchmark == "faithun-mini")]
print(
    before[["method", "rank", "forget_before", "worst", "worst_attack"]].to_string(
        index=False
    )
)
