"""What a robot is: its joints and bodies, and how they are read from a file."""
