"""Search: vectors and full text, fused."""
