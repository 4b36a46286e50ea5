"""What a model would make of data, found from a sample of them."""
