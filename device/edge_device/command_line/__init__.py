"""How all four commands read their arguments and talk to the person at the terminal."""
