"""What a person reads about a verdict or a forecast, and the page that shows it."""
