"""Turns source datasets into ShareGPT conversations: scales, prompts, answers, and the parser back."""
