"""Price source `yahoo`: download, cache and linking of prices from Yahoo Finance."""
