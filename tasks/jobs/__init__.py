"""Jobs: what fixes their images, their life in Valkey, and what clients see of them."""
