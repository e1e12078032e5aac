"""What scoring, generating and training share: tokens in, batches, attention, the head applied where it is needed."""
