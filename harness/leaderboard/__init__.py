"""The leaderboard as a pure function of the store's tables. No torch, no text layout."""
