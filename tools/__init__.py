"""Tools that read results and the scripts' tables; no learning."""
