"""What was measured on this chip and is worth remembering: choices between kernels, tile sizes."""
