"""Rows and tapes; values, their memory and versions; where gradients are added up."""
