"""The road of a document: from a file to chunks that can be searched."""
