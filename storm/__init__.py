"""What a rating question is: scales, prompts, answers, facts of the 14 datasets. Imports nothing else of ours."""
