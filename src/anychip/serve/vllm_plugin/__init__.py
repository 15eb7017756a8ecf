"""vLLM on Anychip, by vLLM's own plug-in points: a platform that derives from its platform for processors,
and products with weights of floating numbers."""
