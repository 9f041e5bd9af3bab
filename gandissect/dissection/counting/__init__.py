"""Count where units are on and concepts are present, in bounded memory, in shards that can be merged."""
