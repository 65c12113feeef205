import pyarrow.parquet as pq

rows = pq.read_table("leaderboard/leaderboard.parquet").to_pylist()
for row in rows:
    if row["attack"] == "none" and row["guard"]:
        print(f"{row['benchmark']}: {row['method']}: {row['guard']}")
