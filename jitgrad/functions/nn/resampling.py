"""Images made larger, smaller, or looked at elsewhere."""
