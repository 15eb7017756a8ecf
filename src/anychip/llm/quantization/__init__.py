"""Small number formats: quantisation, dequantisation, and products of quantised matrices."""
