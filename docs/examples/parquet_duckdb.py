import duckdb

print(
    duckdb.sql("""
        select method, round(recovered, 2) as recovered, recovered_attack,
               round(kept, 2) as kept, kept_of
        from 'leaderboard/leaderboard.parquet'
        where benchmark = 'faithun-mini' and attack = 'none'
        order by recovered nulls last
    """)
)
