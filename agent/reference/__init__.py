"""What the model's world looked like when it was right: the profile, its file, how it is built and learned."""
