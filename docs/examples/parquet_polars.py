import polars as pl

board = pl.read_parquet("leaderboard/leaderboard.parquet")
worst_of = (
    board.filter(
        pl.col("benchmark") == "faithun-mini", pl.col("attack") == "relearn-retain"
    )
    .select("method", "score", "score_low", "score_high", "n_scored")
    .sort("score")
)
print(worst_of)
