"""Questions with answers, and the tools to find them."""
