"""What can be drawn of each script's runs: PICTURES and TABLES, by the names of its ITEMS."""
