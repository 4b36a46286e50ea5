"""Where models come from: Gists, Hub repositories, uploads, paths, the zoo."""
