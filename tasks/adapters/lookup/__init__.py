"""Where adapters are found: folders, the Hub, and uploads."""
