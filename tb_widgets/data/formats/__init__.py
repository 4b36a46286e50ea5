"""What is in a file: texts and tables, read in bounded memory, whatever their size."""
