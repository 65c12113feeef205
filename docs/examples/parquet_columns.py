import pyarrow.parquet as pq

for field in pq.read_schema("leaderboard/leaderboard.parquet"):
    print(field.name, "-", field.metadata[b"description"].decode())
