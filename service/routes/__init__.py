"""The addresses of this door, a file for each thing they are about."""
