"""Games with exact rules."""
