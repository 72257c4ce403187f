"""Running: sessions of ONNX Runtime, their providers, and an artifact's graph in them."""
