"""ALFWorld's text world as a native engine: same files, same words, thousands of times faster."""
