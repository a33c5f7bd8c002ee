"""What recurs in eager code is compiled behind it."""
