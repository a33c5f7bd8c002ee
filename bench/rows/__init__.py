"""Every elementwise row, reduction and scan of the op table, and layers of images, beside torch."""
