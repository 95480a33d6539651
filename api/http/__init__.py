"""What every route needs: bodies, answers, problems, keys, headers, documentation."""
