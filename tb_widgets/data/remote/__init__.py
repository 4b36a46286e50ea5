"""What is asked of other machines, in a process of its own."""
