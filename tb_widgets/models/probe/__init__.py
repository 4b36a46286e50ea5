"""What trying a built model tells: how it is called, and what it was built for."""
