"""`backward`, `grad`, and whether operations are recorded."""
