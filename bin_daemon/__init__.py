"""Controller daemon of a smart waste bin."""
