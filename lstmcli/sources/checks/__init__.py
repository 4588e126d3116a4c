"""What bars must hold before they are stored: prices, jumps, days and holes."""
