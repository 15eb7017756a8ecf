"""OpenAI's HTTP interface over an engine: bodies are read and checked, prompts become tokens, events of the
engine become answers, whole or as they are written."""
