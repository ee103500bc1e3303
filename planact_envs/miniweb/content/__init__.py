"""What the miniweb sites are about: word lists, and the functions that fill the tables from them."""
