"""What talks to the network: run in a process of its own, which asks, fetches, and leaves files behind."""
