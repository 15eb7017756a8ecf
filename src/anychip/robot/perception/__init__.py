"""What cameras and clouds of points need: pixels and rays, neighbours, normals, registration, boxes."""
