"""Where models come from: the zoo, or a folder of the user's own."""
