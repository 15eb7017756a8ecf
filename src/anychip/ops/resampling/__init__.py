"""Resampling of images: interpolation to other sizes, sampling at given places, rearranging of pixels."""
