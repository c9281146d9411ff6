"""Does the model get as many records as it should? No training set knows: the service's own past does."""
