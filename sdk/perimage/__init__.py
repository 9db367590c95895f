"""The Perimage meter: counts the images a platform generates and reports them, each once."""
