"""Other papers' methods that stand in these papers' tables, each a script of its own."""
