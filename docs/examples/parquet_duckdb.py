import duckdb

print(
    duckdb.sql("""
        select method, round(max(recovery), 2) as recovery, count(recovery) as attacks
        from 'leaderboard/leaderboard.parquet'
        where benchmark = 'faithun-mini' and attack <> 'none'
        group by method
        order by recovery nulls last
    """)
)
