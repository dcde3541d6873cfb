"""Wire protocol of the lid controller; usable alone by any host."""
