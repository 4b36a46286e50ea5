"""What is kept on this disk: built token files, fetched copies, and the limit of both."""
