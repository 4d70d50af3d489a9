"""Where attention goes: drawn on neighbourhoods, and measured over all nodes."""

def sections(runs, arms, data, path): return []
