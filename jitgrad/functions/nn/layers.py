"""Linear layers, embeddings, distances."""
